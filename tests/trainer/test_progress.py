"""What counts as time of the training, and signs of life during its evaluation."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from lowtide.trainer import loop, progress
from lowtide.trainer.precision import Precision
from torch import nn

from tests.trainer.conftest import MakeConfig
from tests.trainer.test_out_of_memory import source


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_excluded_takes_no_time_of_the_training(
    fails: bool, training_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint takes ten seconds, and may fail; on a clock of the test's own."""
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    counts = progress.Progress(lambda kind, data: None, training_config(), train_count=2000)
    now[0] += 3.0
    with suppress(OSError), counts.excluded_from_duration():
        now[0] += 10.0
        if fails:
            raise OSError("no space left")
    now[0] += 4.0
    assert counts.train_duration_s == pytest.approx(7.0)


def test_time_of_earlier_processes_is_counted_on(training_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    first = progress.Progress(lambda kind, data: None, training_config(), train_count=2000)
    now[0] += 7.0
    saved = first.state_dict()
    now[0] += 1000.0  # the pause
    second = progress.Progress(lambda kind, data: None, training_config(), train_count=2000)
    now[0] += 2.0  # restoring
    second.load_state_dict(saved)
    now[0] += 5.0
    assert second.train_duration_s == pytest.approx(12.0)


def test_a_long_evaluation_sends_a_heartbeat_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_HEARTBEAT_S", 0.0)
    beats: list[None] = []
    loop.accuracy(nn.Linear(6, 4), source(), precision=Precision(), batch_size=32, heartbeat=lambda: beats.append(None))
    assert len(beats) == 3  # 80 samples
