"""Every error that Lowtide raises on purpose.

LowtideError
├── UserError                 the user can fix it: one sentence, exit status 2, no traceback
│   ├── ConfigurationError    the YAML file, a --set or a DAG Param
│   ├── ArtifactError         a file or folder that is missing, unreadable, full, or of another run
│   │   └── LedgerInUse       another process trains or settles there
│   └── DataSetError          training data that cannot be fetched or is not what it should be
├── SignalError               the grid's signal; never a reading, never swallowed
│   ├── ProviderUnavailable   no usable answer: network, status, timeout (worth another try)
│   └── InvalidAnswer         an answer that a guard refused (null, negative, stale, wrong zone ...)
├── MeasurementError          the energy meter
├── CheckpointDamaged         a checkpoint that is not what was written; an older one takes its place
└── TrainingError             the training child
    └── TrainingStopped       ended on request, not a failure of the training itself
        └── TrainingPaused    on request, with its state saved: starting the run again resumes there
"""


class LowtideError(Exception):
    """Root of all errors below; the message is a sentence for a person."""


class UserError(LowtideError):
    """Something that the user can fix; the message names the value, the place and the remedy."""


class ConfigurationError(UserError):
    """A configuration value that cannot be used."""


class ArtifactError(UserError):
    """A file or folder of a run that is missing, unreadable or not what it should be."""


class LedgerInUse(ArtifactError):
    """Another process holds a run's ledger: it trains, or settles."""


class DataSetError(UserError):
    """Training data that cannot be fetched, or whose checksum is wrong."""


class SignalError(LowtideError):
    """The grid's signal is not available, or cannot be trusted."""


class ProviderUnavailable(SignalError):
    """A provider gave no usable answer; ``retry_after_s`` is what it asked for, if it asked.

    ``status`` is the HTTP status, if there was one. ``passing`` says that asking again soon may do.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, status: int | None = None, passing: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.status = status
        self.passing = passing


class InvalidAnswer(SignalError):
    """A provider's answer that a guard refused."""


class MeasurementError(LowtideError):
    """The energy meter failed; its figures must not be used."""


class CheckpointDamaged(LowtideError):
    """A checkpoint that is torn, altered or unreadable; no attempt resumes from it."""


class TrainingError(LowtideError):
    """The training child failed; the message carries its last lines."""


class TrainingStopped(TrainingError):
    """The training ended on request, before it was complete."""


class TrainingPaused(TrainingStopped):
    """The training was paused at an optimizer step; its checkpoint holds all of it."""
