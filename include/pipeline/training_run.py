"""What a training run is about, before it begins."""

from dataclasses import dataclass
from datetime import datetime

from include.config import LoadedConfig
from include.pipeline.run_folder import RunFolder
from include.records import ReplayAnchor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """Configuration, identity, and the moments fixed at the run's first look at the grid (policy time)."""

    config: LoadedConfig
    run_id: str
    folder: RunFolder
    submitted_at: datetime
    anchor: ReplayAnchor | None = None
