"""Several runs a side: means, spread and intervals in a table."""

from collections.abc import Callable
from typing import Any

from include.report.html.parts import Table
from include.report.html.typography import time_text
from include.report.model import RepeatedFigure, Report, Spread
from include.report.text import figures

_BY_ROUNDING = 1e-12
_NAMES = {
    "emissions_gco2eq": "Emissions",
    "energy_kwh": "Energy",
    "mean_intensity_gco2eq_per_kwh": "Mean intensity of the grid",
    "peak_memory_bytes": "Peak memory",
    "test_accuracy": "Test accuracy",
    "duration_s": "Duration",
    "wait_s": "Wait",
    "waiting_avoided_percent": "Avoided by waiting",
    "oracle_avoided_percent": "Avoided by perfect knowledge",
    "captured_percent": "Of that, got",
}
_UNITS: dict[str, Callable[[float], str]] = {
    "gco2eq_per_kwh": figures.intensity_text,
    "gco2eq": figures.grams_text,
    "kwh": figures.energy_text,
    "bytes": lambda value: figures.memory_text(round(value)),
    "s": time_text,
    "percent": figures.percent_text,
    "accuracy": lambda value: f"{100 * value:.2f} %",
}


def repeats_of(report: Report) -> dict[str, Any] | None:
    """Return what to say and the table; None with one run a side."""
    repeats = report.repeats
    if repeats is None:
        return None
    text = f"{len(repeats.baselines)} baselines and {len(repeats.runs)} runs. {repeats.method}."
    if repeats.without_interval is not None:
        text += f" No interval of the changes: {repeats.without_interval}."
    table = Table(
        summary="Figures of all runs",
        caption=f"Mean, standard deviation and {repeats.confidence_percent:g} % interval of the mean",
        header=("Figure", "Baselines", "Runs"),
        rows=tuple(
            (_name(figure), _spread(figure, figure.baseline), _spread(figure, figure.run)) for figure in repeats.figures
        ),
    )
    return {"text": text, "table": table}


def _name(figure: RepeatedFigure) -> str:
    return _NAMES.get(figure.name, figure.name.replace("_", " "))


def _spread(figure: RepeatedFigure, spread: Spread | None) -> str:
    if spread is None:
        return figures.NONE_TEXT
    write = next((write for ending, write in _UNITS.items() if figure.name.endswith(f"_{ending}")), figures.significant)
    text = write(spread.mean)
    if spread.standard_deviation is None:
        return text
    if spread.standard_deviation <= _BY_ROUNDING * abs(spread.mean):
        return f"{text}, in all"
    text += f", sd {write(spread.standard_deviation)}"
    if spread.interval is not None:
        text += f" ({write(spread.interval.low)} to {write(spread.interval.high)})"
    return text
