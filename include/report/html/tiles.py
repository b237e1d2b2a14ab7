"""The key figures: what they are now, what they were, and between which bounds they lie."""

from collections.abc import Callable, Iterator

from include.report import figures
from include.report.html.parts import Tile
from include.report.model import Interval, Report, RunFigures

_Read = Callable[[RunFigures], float]
_Write = Callable[[float], str]


def tiles_of(report: Report) -> tuple[Tile, ...]:
    """Return the tiles, in the order of what a reader asks first."""
    changes = report.changes.model_dump()

    def tile(label: str, name: str, read: _Read, write: _Write) -> Tile:
        change = figures.change_text(changes[name]) if changes[name] is not None else None
        return Tile(label=label, now=write(read(report.run)), lines=tuple(_before(report, name, read, write, change)))

    return (
        _with_bounds(tile("Emissions", "emissions_percent", lambda r: r.emissions_gco2eq, figures.grams_text), report),
        _ours(report),
        _waiting(report),
        tile("Energy", "energy_percent", lambda r: r.energy_kwh.total, figures.energy_text),
        tile("Mean intensity of the grid", "mean_intensity_percent", _intensity, figures.intensity_text),
        _accuracy(report),
        tile(
            "Peak memory", "peak_memory_percent", lambda r: r.peak_memory_bytes, lambda b: figures.memory_text(round(b))
        ),
        tile("Duration", "duration_percent", lambda r: r.duration_s, figures.duration_text),
    )


def interval_text(interval: Interval, write: _Write) -> str:
    """Write two bounds."""
    return f"{write(interval.low)} to {write(interval.high)}"


def _intensity(run: RunFigures) -> float:
    # the record's mean carries the site's PUE; a grid's intensity does not
    return run.mean_carbon_intensity_gco2eq_per_kwh / run.pue


def _before(report: Report, name: str, read: _Read, write: _Write, change: str | None) -> Iterator[str]:
    if report.baseline is None:
        return
    before = write(read(report.baseline))
    yield f"{change} against {before}" if change is not None else f"{before} before; not comparable"
    repeats = report.repeats
    if repeats is not None and name in repeats.changes:
        yield f"{interval_text(repeats.changes[name], figures.change_text)} over {_runs(report)}"


def _runs(report: Report) -> str:
    repeats = report.repeats
    return "" if repeats is None else f"{len(repeats.baselines)} and {len(repeats.runs)} runs"


def _with_bounds(tile: Tile, report: Report) -> Tile:
    bounds = report.run.uncertainty
    if bounds is None:
        return tile
    low, high = figures.grams_text(bounds.emissions_low_gco2eq), figures.grams_text(bounds.emissions_high_gco2eq)
    return Tile(label=tile.label, now=tile.now, lines=(*tile.lines, f"known errors: {low} to {high}"))


def _ours(report: Report) -> Tile:
    ours = report.ours
    if ours is None:
        return Tile(label="Of that, ours", now=figures.NONE_TEXT, lines=("nothing is attributed",))
    lines = [f"{figures.signed_grams_text(ours.change_gco2eq)}: {' and '.join(ours.parts)}"]
    if report.repeats is not None and report.repeats.ours_percent is not None:
        lines.append(f"{interval_text(report.repeats.ours_percent, figures.change_text)} over {_runs(report)}")
    return Tile(label="Of that, ours", now=figures.change_text(ours.change_percent), lines=tuple(lines))


def _waiting(report: Report) -> Tile:
    waiting = report.waiting
    waited = f"waited {figures.duration_text(waiting.wait_s)}"
    if waiting.paused_s:
        waited += f", paused {figures.duration_text(waiting.paused_s)}"
    if waiting.avoided_gco2eq is None:
        return Tile(
            label="Avoided by waiting", now=figures.NONE_TEXT, lines=(waited, "intensity at submission not known")
        )
    label = "Avoided by waiting" if waiting.avoided_gco2eq >= 0 else "Added by waiting"
    now = figures.grams_text(abs(waiting.avoided_gco2eq))
    lines = [waited]
    if waiting.avoided_percent is not None:
        lines.insert(0, f"{figures.change_text(-waiting.avoided_percent)} against running at submission")
    if waiting.oracle is not None and waiting.oracle.captured_percent is not None:
        lines.append(f"{figures.percent_text(waiting.oracle.captured_percent)} of what was possible")
    return Tile(label=label, now=now, lines=tuple(lines))


def _accuracy(report: Report) -> Tile:
    now = f"{100 * report.run.test_accuracy:.2f} %"
    if report.baseline is None:
        return Tile(label="Test accuracy", now=now)
    points = figures.points_text(report.changes.accuracy_points)
    return Tile(
        label="Test accuracy", now=now, lines=(f"{points} against {100 * report.baseline.test_accuracy:.2f} %",)
    )
