"""What is asked of a trial of micro-batch sizes, and what it answers."""

from pydantic import BaseModel, ConfigDict

from include.config.training import TrainingConfig


class TrialRequest(BaseModel):
    """What to try, in ascending order, and for how many optimizer steps each.

    ``import_paths`` are the asking process's, so that a user's modules are found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig
    micro_batch_sizes: tuple[int, ...]
    steps: int = 3
    import_paths: tuple[str, ...]


class TrialResult(BaseModel):
    """One size: its peak, or ``shortage`` where memory ran out; or a user's mistake, which no size would mend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    micro_batch_size: int
    peak_memory_bytes: int | None = None
    shortage: str | None = None
    error: str | None = None
    error_type: str | None = None
