"""A whole training between two optimizer steps: what the loop is, and what has been counted and measured so far."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.config import TrainingConfig
from include.errors import ConfigurationError
from include.trainer.optimization.shortage import shortage_told

if TYPE_CHECKING:
    from include.trainer.memory import MemoryMeter
    from include.trainer.progress import Progress
    from include.trainer.state import LoopState


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """Reads and sets the live training; ``earlier_peak_bytes`` is the peak memory of the processes before this one."""

    training: TrainingConfig
    loop: "LoopState"
    progress: "Progress"
    memory: "MemoryMeter"
    train_count: int
    earlier_peak_bytes: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return all of it for ``torch.load(weights_only=True)``; call ``progress.settle`` first."""
        return {
            "loop": self.loop.state_dict(),
            "progress": self.progress.state_dict(),
            "train_count": self.train_count,
            "peak_memory_bytes": max(self.earlier_peak_bytes, self.memory.peak_bytes_so_far()),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned; the loop is set last, with the random generators at its end.

        :raises ConfigurationError: the user's data or model are others by now.
        """
        training = self.training
        if saved["train_count"] != self.train_count:
            raise ConfigurationError(
                f"training.data '{training.data.path}' gives {self.train_count} training samples, but this run began with"
                f" {saved['train_count']}; bring them back, or start over with fresh"
            )
        self.earlier_peak_bytes = int(saved["peak_memory_bytes"])
        self.progress.load_state_dict(saved["progress"])
        try:
            with shortage_told(
                "while a checkpoint was brought to the device", "end what else uses its memory, then go on"
            ):
                self.loop.load_state_dict(saved["loop"])
        except (RuntimeError, ValueError) as error:
            lines = " ".join(str(error).split())
            raise ConfigurationError(
                f"training.model '{training.model.path}' is another by now than when this run began ({lines[:200]});"
                " bring its code back, or start over with fresh"
            ) from error
