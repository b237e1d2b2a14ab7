"""What a training run is about, before it begins."""

from dataclasses import dataclass
from datetime import datetime

from include.config import LoadedConfig
from include.pipeline.run_folder import RunFolder
from include.records import ReplayAnchor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """Configuration, identity, and the moments fixed at the run's first look at the grid (policy time).

    ``training_id`` names the one training, over all its attempts, whose checkpoint and ledger may be gone on with: what
    another one left in the folder is set aside. None: whatever unfinished training the folder holds is gone on with.
    """

    config: LoadedConfig
    run_id: str
    folder: RunFolder
    submitted_at: datetime
    anchor: ReplayAnchor | None = None
    training_id: str | None = None
