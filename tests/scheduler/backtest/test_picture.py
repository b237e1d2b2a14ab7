"""The picture is drawn for every shape of backtest, without pyplot and its global state."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ArtifactError
from lowtide.scheduler.backtest.plot import check_picture_path, draw, shown_line, typical_week
from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import SimConfig

from tests.support.backtests import config, grid, hours
from tests.support.traces import grid_like

CONFIGS = {
    "one line": config(),
    "many lines": config(
        policies=("immediate", "percentile", "window"), durations=hours(1, 2, 4), slacks=hours(4, 8, 24)
    ),
    "pauses": config(policies=("window", "interruptible"), durations=hours(6), slacks=hours(12)),
    "at once only": config(policies=("immediate",), submit="random"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_picture_is_drawn_of_any_backtest(name: str, tmp_path: Path) -> None:
    draw(run_backtest(CONFIGS[name], grid(grid_like(20))), tmp_path / "it.png")
    data = (tmp_path / "it.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") == 1440
    assert len(data) > 50_000  # more than a white sheet


def test_a_trace_with_gaps_and_finer_steps_is_drawn(tmp_path: Path) -> None:
    values = [v for v in grid_like(6) for _ in range(4)]
    values[200:215] = [float("nan")] * 15
    draw(run_backtest(config(), grid(values, step_s=900.0)), tmp_path / "it.svg")
    assert "<svg" in (tmp_path / "it.svg").read_text()


@pytest.mark.parametrize("name", ["it.txt", "it", "missing/it.png"])
def test_a_file_that_cannot_be_drawn_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    backtest = run_backtest(config(), grid(grid_like(5)))
    with pytest.raises(ArtifactError, match="it"):
        check_picture_path(tmp_path / name)
        draw(backtest, tmp_path / name)


@pytest.mark.parametrize(
    ("policies", "shown"), [(("immediate", "window", "percentile"), "window"), (("immediate",), "immediate")]
)
def test_the_line_in_the_middle_is_shown(policies: tuple[str, ...], shown: str) -> None:
    wanted: SimConfig = config(policies=policies, durations=hours(1, 2, 4), slacks=hours(4, 8, 24))
    line = shown_line(run_backtest(wanted, grid(grid_like(10))))
    assert line.scenario[:3] == (shown, 7200.0, 8 * 3600.0)


def test_the_week_that_is_shown_is_nearest_to_the_whole_not_the_best() -> None:
    flat, hilly = [200.0] * 24, [200.0] * 4 + [50.0] * 4 + [200.0] * 16
    half = [200.0] * 4 + [125.0] * 4 + [200.0] * 16
    line = shown_line(run_backtest(config(), grid(flat * 14 + half * 14 + hilly * 14)))
    begin, end = typical_week(line)
    first = line.runs[0].submitted_s
    assert timedelta(seconds=end - begin) == timedelta(days=7)
    assert 14 - 1 <= (begin - first) / 86_400 <= 21


def test_neither_backtest_nor_policies_load_matplotlib() -> None:
    code = "import sys, lowtide.scheduler.backtest, lowtide.cli.main; print([m for m in sys.modules if m.startswith('matplotlib')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
