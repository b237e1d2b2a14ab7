"""With several runs a side, the page's figures are the means, as the changes are."""

from collections.abc import Callable
from typing import Literal

from include.report.model import Report, RunFigures, Spread

Side = Literal["baseline", "run"]


def spread(report: Report, side: Side, name: str) -> Spread | None:
    """Return a figure's spread over a side's runs; None with one run a side, or without that side."""
    repeated = () if report.repeats is None else report.repeats.figures
    found = next((figure for figure in repeated if figure.name == name), None)
    if found is None:
        return None
    return found.baseline if side == "baseline" else found.run


def average(report: Report, side: Side, name: str, read: Callable[[RunFigures], float]) -> float | None:
    """Return a figure's mean over a side's runs, or the figure of its only run; None without that side."""
    repeated = spread(report, side, name)
    if repeated is not None:
        return repeated.mean
    run = report.baseline if side == "baseline" else report.run
    return None if run is None else read(run)


def runs_of(report: Report, side: Side) -> tuple[RunFigures, ...]:
    """Return a side's runs."""
    if report.repeats is not None:
        return report.repeats.baselines if side == "baseline" else report.repeats.runs
    if side == "run":
        return (report.run,)
    return () if report.baseline is None else (report.baseline,)
