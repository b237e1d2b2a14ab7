"""Progress about once a second; the only place where the training waits for the device."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lowtide.config.schema import TrainingConfig
from lowtide.errors import TrainingError
from lowtide.trainer.protocol import Emit, EventKind

_REPORT_EVERY_S = 1.0


class Progress:
    """Counts optimizer steps and samples; holds losses on the device until a report reads them all at once."""

    def __init__(self, emit: Emit, training: TrainingConfig, *, train_count: int) -> None:
        self._emit = emit
        self._training = training
        self._steps_per_epoch = math.ceil(train_count / training.effective_batch_size)
        self._samples_total = train_count * training.epochs
        self._pending: list[tuple[Tensor, int]] = []
        self._started_s = self._reported_s = time.monotonic()
        self._epoch_loss, self._epoch_samples = 0.0, 0
        self._earlier_s = 0.0
        self.optimizer_steps = self.samples = 0

    @property
    def train_loss(self) -> float:
        """Mean loss per sample of the current epoch, as far as it has been read."""
        return self._epoch_loss / max(1, self._epoch_samples)

    @property
    def train_duration_s(self) -> float:
        """Seconds spent on optimizer steps, those of earlier processes included; what is excluded is not."""
        return self._earlier_s + time.monotonic() - self._started_s

    @contextmanager
    def excluded_from_duration(self) -> Iterator[None]:
        """Exclude what is done inside (a checkpoint, for example) from the training's duration."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._started_s += time.monotonic() - began_s

    def settle(self) -> None:
        """Read and report the losses that are only on the device.

        :raises TrainingError: a loss was not finite; the message names the step.
        """
        if self._pending:
            self.report()

    def state_dict(self) -> dict[str, Any]:
        """Return the counts as plain figures; call ``settle`` first."""
        return {
            "optimizer_steps": self.optimizer_steps,
            "samples": self.samples,
            "epoch_loss": self._epoch_loss,
            "epoch_samples": self._epoch_samples,
            "train_duration_s": self.train_duration_s,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue counting from what ``state_dict`` returned."""
        self.optimizer_steps, self.samples = int(saved["optimizer_steps"]), int(saved["samples"])
        self._epoch_loss, self._epoch_samples = float(saved["epoch_loss"]), int(saved["epoch_samples"])
        self._earlier_s = float(saved["train_duration_s"])
        self._started_s = time.monotonic()

    def start_epoch(self) -> None:
        """Forget the last epoch's loss."""
        self._epoch_loss, self._epoch_samples = 0.0, 0

    def add(self, summed_loss: Tensor, samples: int) -> None:
        """Count an optimizer step; report if it is time.

        :raises TrainingError: a loss was not finite; the message names the step.
        """
        self.optimizer_steps += 1
        self.samples += samples
        self._pending.append((summed_loss, samples))
        if time.monotonic() - self._reported_s >= _REPORT_EVERY_S:
            self.report()

    def report(self) -> None:
        """Read the losses since the last report and send a progress event.

        :raises TrainingError: a loss was not finite; the message names the step.
        """
        loss = self._read()
        self._reported_s = time.monotonic()
        self._emit(
            EventKind.PROGRESS,
            {
                "epoch": (self.optimizer_steps - 1) // self._steps_per_epoch + 1,
                "epochs": self._training.epochs,
                "optimizer_step": self.optimizer_steps,
                "optimizer_steps": self._steps_per_epoch * self._training.epochs,
                "samples": self.samples,
                "samples_total": self._samples_total,
                "loss": loss,
                "samples_per_s": self.samples / max(1e-9, self.train_duration_s),
            },
        )

    def _read(self) -> float:
        losses = torch.stack([loss for loss, _ in self._pending]).tolist()
        counts = [count for _, count in self._pending]
        first = self.optimizer_steps - len(losses) + 1
        self._pending.clear()
        for step, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                epoch, batch = divmod(step - 1, self._steps_per_epoch)
                raise TrainingError(
                    f"the loss became {loss} at optimizer step {step} (epoch {epoch + 1}, batch {batch + 1} of"
                    f" {self._steps_per_epoch}); lower training.learning_rate (now {self._training.learning_rate:g}), set"
                    " training.clip_gradient_norm, or check the data for NaN"
                )
            self._epoch_loss += loss  # one by one: sums of reports would round by when the reports came
        self._epoch_samples += sum(counts)
        return float(sum(losses) / sum(counts))
