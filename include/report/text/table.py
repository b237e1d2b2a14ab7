"""The rows that terminal and Markdown share: figure, baseline, run, change, all plain text."""

from collections.abc import Callable

from include.records import IntensityKind
from include.report.accuracy import wilson_percent
from include.report.model import Changes, Report, RunFigures
from include.report.repeats.table import Row, repeated_rows
from include.report.text import figures
from include.report.text.accuracy import bounds_text
from include.report.text.escape import plain

_Cell = Callable[[RunFigures], str]
_Change = Callable[[Changes], str]


def _intensity(run: RunFigures) -> str:
    # the record's mean carries the site's PUE; a grid's intensity does not
    return figures.intensity_text(run.mean_carbon_intensity_gco2eq_per_kwh / run.pue)


def _wait(run: RunFigures) -> str:
    # under replay the wait is in the grid's time, the durations are real
    return figures.duration_text(run.wait_s) + (
        " (replayed time)" if IntensityKind.REPLAYED in run.intensity_kinds else ""
    )


def _nothing(changes: Changes) -> str:
    del changes
    return ""


def _bounds(run: RunFigures) -> str:
    bounds = run.uncertainty
    if bounds is None:
        return figures.NONE_TEXT
    return f"{figures.grams_text(bounds.emissions_low_gco2eq)} to {figures.grams_text(bounds.emissions_high_gco2eq)}"


def _accuracy_bounds(run: RunFigures) -> str:
    if run.test_samples is None:
        return figures.NONE_TEXT
    return bounds_text(wilson_percent(run.test_accuracy, run.test_samples))


def _score(run: RunFigures) -> str:
    score = run.sci
    if score is None:
        return figures.NONE_TEXT
    unit = "1,000 samples" if score.functional_unit == "1000_samples" else score.functional_unit
    return f"{figures.grams_text(score.gco2eq_per_unit)} per {unit}{'' if score.embodied_gco2eq is None else ', M included'}"


_ROWS: tuple[tuple[str, _Cell, _Change], ...] = (
    ("Emissions", lambda r: figures.grams_text(r.emissions_gco2eq), lambda c: figures.change_text(c.emissions_percent)),
    ("within the methods' known errors", _bounds, _nothing),
    ("of which training", lambda r: figures.grams_text(r.emissions_train_gco2eq), _nothing),
    ("SCI score", _score, _nothing),
    ("Energy", lambda r: figures.energy_text(r.energy_kwh.total), lambda c: figures.change_text(c.energy_percent)),
    ("Mean carbon intensity", _intensity, lambda c: figures.change_text(c.mean_intensity_percent)),
    (
        "Peak memory",
        lambda r: f"{figures.memory_text(r.peak_memory_bytes)} ({r.peak_memory_kind})",
        lambda c: figures.change_text(c.peak_memory_percent),
    ),
    (
        "Test accuracy",
        lambda r: f"{100 * r.test_accuracy:.2f} %",
        lambda c: figures.points_text(c.accuracy_points),
    ),
    ("95 % by the test set's size", _accuracy_bounds, _nothing),
    ("Duration", lambda r: figures.duration_text(r.duration_s), lambda c: figures.change_text(c.duration_percent)),
    ("of which training", lambda r: figures.duration_text(r.train_duration_s), _nothing),
    ("From submission to start", _wait, _nothing),
    ("Policy", lambda r: r.policy, _nothing),
    ("Device", lambda r: f"{r.device} ({r.device_name})", _nothing),
    ("Precision", lambda r: r.precision, _nothing),
    ("Batch (micro x accumulation)", lambda r: f"{r.micro_batch_size} x {r.accumulation_steps}", _nothing),
)


def render_table(report: Report) -> list[Row]:
    """Return rows of (figure, baseline, run, change); safe for a terminal, not yet escaped for Markdown."""
    if report.repeats is not None:
        return repeated_rows(report)
    base, run = report.baseline, report.run
    rows = [
        (name, "-" if base is None else plain(cell(base)), plain(cell(run)), change(report.changes))
        for name, cell, change in _ROWS
    ]
    return [row for row in rows if row[2] != figures.NONE_TEXT]  # a run of an older version has no bounds and no score
