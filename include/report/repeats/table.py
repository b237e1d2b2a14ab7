"""The table's rows where a side has several runs: means with half their 95 % interval, and what all the runs were."""

from collections.abc import Callable, Sequence

from include.report.model import Changes, Report, RunFigures, Spread
from include.report.text import figures
from include.report.text.escape import plain

Row = tuple[str, str, str, str]
_Text = Callable[[float], str]
_ROUNDING = 1e-9

_FIGURES: tuple[tuple[str, str, _Text, Callable[[Changes], str]], ...] = (
    ("emissions_gco2eq", "Emissions", figures.grams_text, lambda c: figures.change_text(c.emissions_percent)),
    ("energy_kwh", "Energy", figures.energy_text, lambda c: figures.change_text(c.energy_percent)),
    (
        "mean_intensity_gco2eq_per_kwh",
        "Mean carbon intensity",
        figures.intensity_text,
        lambda c: figures.change_text(c.mean_intensity_percent),
    ),
    (
        "peak_memory_bytes",
        "Peak memory",
        lambda v: figures.memory_text(round(v)),
        lambda c: figures.change_text(c.peak_memory_percent),
    ),
    ("test_accuracy", "Test accuracy", lambda v: f"{100 * v:.2f} %", lambda c: figures.points_text(c.accuracy_points)),
    ("duration_s", "Duration", figures.duration_text, lambda c: figures.change_text(c.duration_percent)),
    ("wait_s", "From submission to start", figures.duration_text, lambda _: ""),
)
_WORDS: tuple[tuple[str, Callable[[RunFigures], str]], ...] = (
    ("Seed", lambda r: str(r.seed)),
    ("Policy", lambda r: r.policy),
    ("Device", lambda r: f"{r.device} ({r.device_name})"),
    ("Precision", lambda r: r.precision),
    ("Batch (micro x accumulation)", lambda r: f"{r.micro_batch_size} x {r.accumulation_steps}"),
)


def repeated_rows(report: Report) -> list[Row]:
    """Return rows of (figure, baselines, runs, change); empty with one run a side."""
    repeats = report.repeats
    if repeats is None:
        return []
    spreads = {figure.name: figure for figure in repeats.figures}
    count = ("Runs", str(len(repeats.baselines)) if repeats.baselines else "-", str(len(repeats.runs)), "")
    means = [
        (label, _mean(spreads[name].baseline, text), _mean(spreads[name].run, text), change(report.changes))
        for name, label, text, change in _FIGURES
    ]
    words = [(label, _all(repeats.baselines, word), _all(repeats.runs, word), "") for label, word in _WORDS]
    return [count, *means, *words]


def _mean(spread: Spread | None, text: _Text) -> str:
    if spread is None:
        return "-"
    if spread.interval is None:
        return text(spread.mean)
    half = (spread.interval.high - spread.interval.low) / 2
    return f"{text(spread.mean)} ± {text(half if half > _ROUNDING * abs(spread.mean) else 0.0)}"


def _all(runs: Sequence[RunFigures], word: Callable[[RunFigures], str]) -> str:
    return plain(", ".join(dict.fromkeys(map(word, runs)))) or "-"
