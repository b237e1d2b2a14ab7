"""A training in this process, on real MNIST."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import pytest
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.protocol import EventKind, TrainingResult
from lowtide.trainer.trainer import Training

MakeConfig = Callable[..., TrainingConfig]


def result_of(training: TrainingConfig) -> TrainingResult:
    def ignore(kind: EventKind, data: dict[str, object]) -> None: ...

    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)  # what other tests gave back to the heap would be used without a trace
    return Training(training, emit=ignore).run()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_small_cnn_learns_mnist(training_config: MakeConfig, precision: str) -> None:
    """2,000 images, two passes: far above the 10 % of guessing, within what this little data allows."""
    result = result_of(training_config(model="lowtide.trainer.models:small_cnn", epochs=2, precision=precision))
    assert result.test_accuracy > 0.88
    assert result.test_samples == 1000
    assert result.train_loss < 0.6
    assert result.precision == precision
    assert result.peak_memory_kind == "rss_above_base"
    assert result.peak_memory_reserved_bytes is None
    assert result.peak_memory_bytes > 2_000 * 784


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_training_repeats_to_the_last_bit(training_config: MakeConfig, optimizer: str) -> None:
    """Same seed, same figures; another seed, others."""
    parts: dict[str, Any] = {"optimizer": optimizer, "clip_gradient_norm": 1.0, "weight_decay": 0.01}
    first = result_of(training_config(**parts))
    assert result_of(training_config(**parts)).train_loss == first.train_loss
    assert result_of(training_config(**parts, seed=1)).train_loss != first.train_loss


def test_splitting_the_batch_changes_neither_loss_nor_accuracy(training_config: MakeConfig) -> None:
    whole = result_of(training_config(micro_batch_size=128, accumulation_steps=1))
    split = result_of(training_config(micro_batch_size=32, accumulation_steps=4))
    assert split.train_loss == pytest.approx(whole.train_loss, abs=1e-4)
    assert split.test_accuracy == pytest.approx(whole.test_accuracy, abs=0.003)
    assert split.optimizer_steps == whole.optimizer_steps == 16
