"""What a person sees of a running training: power, energy, grams and the grid, at a rate that a night's log can bear."""

import io
from contextlib import closing
from itertools import pairwise

import pytest
from lowtide.cli.train import Display
from lowtide.runs.run import LogThrottle, Progress
from rich.console import Console


def snapshot(**changes: object) -> Progress:
    figures = {
        "phase": "train",
        "epoch": 1,
        "epochs": 3,
        "samples": 1200,
        "samples_total": 60_000,
        "samples_per_s": 800.0,
        "loss": 0.25,
        "power_w": 41.5,
        "energy_kwh": 0.0123,
        "emissions_gco2eq": 2.46,
        "carbon_intensity_gco2eq_per_kwh": 200.0,
    }
    return Progress(**(figures | changes))  # type: ignore[arg-type]


def test_a_line_of_the_log_holds_power_energy_grams_and_the_grids_intensity() -> None:
    """Before the first row the grid is not known, and nothing is said of it."""
    assert snapshot().sentence().endswith("41.5 W, 12.300 Wh, 2.460 g at 200 g/kWh")
    assert "g/kWh" not in snapshot(carbon_intensity_gco2eq_per_kwh=None).sentence()


def test_a_night_of_ten_hours_is_some_two_hundred_lines_and_the_first_minutes_are_watched() -> None:
    """Asked once a second, as the pipeline does."""
    now = [0.0]
    pace = LogThrottle(clock=lambda: now[0])
    due = []
    for second in range(36_000):
        now[0] = float(second)
        if pace.is_due():
            due.append(second)
    assert due[:5] == [0, 15, 30, 45, 60]
    assert 100 < len(due) < 220
    assert max(b - a for a, b in pairwise(due)) == 300


def test_the_terminals_line_shows_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real bar of rich, drawn into a text."""
    written = io.StringIO()
    display = Display(quiet=False)
    display._console = Console(file=written, force_terminal=True, width=160)
    display._live = True
    display._bar.live.console = display._console
    with closing(display):
        display.training(snapshot())
        display._bar.refresh()
    assert "41.5 W  12.300 Wh  2.460 g at 200 g/kWh" in written.getvalue()


def test_without_a_terminal_lines_come_at_the_logs_pace(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a file: one at once, not one a second."""
    display = Display(quiet=False)
    display._live = False
    for _ in range(5):
        display.training(snapshot())
    assert capsys.readouterr().err.count("2.460 g") == 1
