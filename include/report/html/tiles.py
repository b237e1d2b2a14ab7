"""The key figures: what they are now, what they were, and between which bounds they lie."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from include.report.html.averages import average, runs_of
from include.report.html.parts import Tile
from include.report.html.typography import time_text
from include.report.model import Interval, Report, RunFigures, Waiting
from include.report.text import figures
from include.report.text.accuracy import open_text

Write = Callable[[float], str]


class _Figure(NamedTuple):
    label: str
    change: str
    name: str
    read: Callable[[RunFigures], float]
    write: Write


_EMISSIONS = _Figure(
    "Emissions", "emissions_percent", "emissions_gco2eq", lambda r: r.emissions_gco2eq, figures.grams_text
)
_ENERGY = _Figure("Energy", "energy_percent", "energy_kwh", lambda r: r.energy_kwh.total, figures.energy_text)
_INTENSITY = _Figure(
    "Mean intensity of the grid",
    "mean_intensity_percent",
    "mean_intensity_gco2eq_per_kwh",
    # the record's mean carries the site's PUE; a grid's intensity does not
    lambda r: r.mean_carbon_intensity_gco2eq_per_kwh / r.pue,
    figures.intensity_text,
)
_ACCURACY = _Figure(
    "Test accuracy", "accuracy_points", "test_accuracy", lambda r: r.test_accuracy, lambda value: f"{100 * value:.2f} %"
)
_MEMORY = _Figure(
    "Peak memory",
    "peak_memory_percent",
    "peak_memory_bytes",
    lambda r: r.peak_memory_bytes,
    lambda value: figures.memory_text(round(value)),
)
_DURATION = _Figure("Duration", "duration_percent", "duration_s", lambda r: r.duration_s, time_text)


def tiles_of(report: Report) -> tuple[Tile, ...]:
    """Return the tiles, in the order of what a reader asks first."""
    rest = (_ENERGY, _INTENSITY, _ACCURACY, _MEMORY, _DURATION)
    return (
        _with_bounds(_tile(report, _EMISSIONS), report),
        _ours(report),
        _waiting(report),
        *(_tile(report, figure) for figure in rest),
    )


def interval_text(interval: Interval, write: Write) -> str:
    """Write two bounds."""
    return f"{write(interval.low)} to {write(interval.high)}"


def _tile(report: Report, figure: _Figure) -> Tile:
    now = average(report, "run", figure.name, figure.read)
    text = figures.NONE_TEXT if now is None else figure.write(now)
    return Tile(label=figure.label, now=text, lines=tuple(_before(report, figure)))


def _before(report: Report, figure: _Figure) -> Iterator[str]:
    before = average(report, "baseline", figure.name, figure.read)
    if before is None:
        return
    write = figures.points_text if figure is _ACCURACY else figures.change_text
    change = report.changes.model_dump()[figure.change]
    told = figure.write(before)
    if change is None:
        yield f"{told} before; not comparable"
    elif figure is _EMISSIONS and report.attribution_gco2eq.total is not None:
        yield f"{figures.signed_grams_text(report.attribution_gco2eq.total)}, {write(change)} of the baseline's {told}"
    else:
        yield f"{write(change)} against {told}"
    repeats = report.repeats
    if figure is _ACCURACY and report.accuracy is not None and report.accuracy.change_points is not None:
        yield f"{open_text(report.accuracy.change_points)} by the test set's size"
    if repeats is not None and figure.change in repeats.changes:
        yield f"{interval_text(repeats.changes[figure.change], write)} over {_runs(report)}"


def _runs(report: Report) -> str:
    return f"{len(runs_of(report, 'baseline'))} and {len(runs_of(report, 'run'))} runs"


def _with_bounds(tile: Tile, report: Report) -> Tile:
    bounds = report.run.uncertainty
    if bounds is None or report.repeats is not None:
        return tile
    low, high = figures.grams_text(bounds.emissions_low_gco2eq), figures.grams_text(bounds.emissions_high_gco2eq)
    return Tile(label=tile.label, now=tile.now, lines=(*tile.lines, f"known errors: {low} to {high}"))


def _ours(report: Report) -> Tile:
    ours = report.ours
    if ours is None:
        attributed = report.attribution_gco2eq.total is not None
        why = "nothing counts as ours here" if attributed else "nothing is attributed"
        return Tile(label="Of that change, ours", now=figures.NONE_TEXT, lines=(why,))
    lines = [
        f"by {' and '.join(ours.parts)}",
        f"{figures.change_text(ours.change_percent)} of what it would have been without",
    ]
    before = average(report, "baseline", _EMISSIONS.name, _EMISSIONS.read)
    if before:
        share = figures.change_text(100 * ours.change_gco2eq / before)
        lines.insert(0, f"{share} of the baseline's {figures.grams_text(before)}")
    if report.repeats is not None and report.repeats.ours_percent is not None:
        lines.append(f"{interval_text(report.repeats.ours_percent, figures.change_text)} over {_runs(report)}")
    return Tile(label="Of that change, ours", now=figures.signed_grams_text(ours.change_gco2eq), lines=tuple(lines))


def _waiting(report: Report) -> Tile:
    waiting = report.waiting
    waited = f"waited {time_text(waiting.wait_s)}"
    if waiting.no_wait is not None:
        waited = f"by a start {time_text(waiting.wait_s)} later, no wait: {waiting.no_wait}"
    if waiting.paused_s:
        waited += f", paused {time_text(waiting.paused_s)}"
    if waiting.no_wait is None and waiting.queued_s:
        waited += f", {time_text(waiting.queued_s)} of {'both' if waiting.paused_s else 'it'} in a queue"
    if waiting.avoided_gco2eq is None:
        return Tile(
            label="Avoided by waiting", now=figures.NONE_TEXT, lines=(waited, "intensity at submission not known")
        )
    lines = [waited]
    if waiting.avoided_percent is not None:
        lines.insert(0, f"{figures.change_text(-waiting.avoided_percent)} against submission")
    captured = None if waiting.oracle is None else waiting.oracle.captured_percent
    if captured is not None and captured >= 0:
        lines.append(f"{figures.percent_text(captured)} of what was possible")
    now = figures.grams_text(abs(waiting.avoided_gco2eq))
    return Tile(label=_waiting_label(waiting), now=now, lines=tuple(lines))


def _waiting_label(waiting: Waiting) -> str:
    """Name the grams after the wait only where there was one: what a queue did is nobody's doing."""
    less = (waiting.avoided_gco2eq or 0.0) >= 0
    if waiting.no_wait is not None or waiting.queued_s:
        return "Less than at submission" if less else "More than at submission"
    return "Avoided by waiting" if less else "Added by waiting"
