"""What counts as time of the training."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from lowtide.trainer import progress

from tests.trainer.conftest import MakeConfig


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
