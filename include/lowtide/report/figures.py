"""The figures of a report, declared once: terminal, Markdown, page and replicates take names, units and order from here."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from lowtide import units
from lowtide.records import IntensityKind, TrainingRecord
from lowtide.report.model import Changes, Comparison, Report, Spread, Waiting

Side = Literal["baseline", "run"]


def runs_of(report: Comparison, side: Side) -> tuple[TrainingRecord, ...]:
    """Return the runs of a side; empty without a baseline."""
    if report.replicates is not None:
        return report.replicates.baselines if side == "baseline" else report.replicates.runs
    run = report.baseline if side == "baseline" else report.run
    return () if run is None else (run,)


def spread_of(report: Report, side: Side, key: str) -> Spread | None:
    """Return the spread of a figure over the runs of a side; None with one run a side, or without that side."""
    repeated = () if report.replicates is None else report.replicates.figures
    found = next((figure for figure in repeated if figure.name == key), None)
    return None if found is None else getattr(found, side)


class Figure(NamedTuple):
    """One figure of a run.

    ``key`` names it in the report's replicates and ends in its unit; ``change`` is the key of its change, in percent or, of
    an accuracy, in points; ``note`` is what a reader must know of one run's value.
    """

    key: str
    label: str
    read: Callable[[TrainingRecord], float]
    write: Callable[[float], str]
    change: str | None = None
    note: Callable[[TrainingRecord], str] = lambda _: ""

    def change_text(self, value: float | None) -> str:
        """Write a change of this figure."""
        return (units.points_text if self.change == "accuracy_points" else units.change_text)(value)

    def change_in(self, changes: Changes) -> str:
        """Write this figure's change in a report; empty where none is kept."""
        return self.change_text(getattr(changes, self.change)) if self.change else ""

    def mean(self, report: Report, side: Side) -> float | None:
        """Return the mean over the runs of a side; None without that side."""
        spread = spread_of(report, side, self.key)
        if spread is not None:
            return spread.mean
        runs = runs_of(report, side)
        return self.read(runs[0]) if runs else None


def _replayed(run: TrainingRecord) -> str:
    return " (replayed time)" if IntensityKind.REPLAYED in run.intensity_kinds else ""


EMISSIONS = Figure(
    "emissions_gco2eq", "Emissions", lambda r: r.emissions_gco2eq, units.grams_text, change="emissions_percent"
)
ENERGY = Figure("energy_kwh", "Energy", lambda r: r.energy_kwh.total, units.energy_text, change="energy_percent")
INTENSITY = Figure(
    "mean_intensity_gco2eq_per_kwh",
    "Mean carbon intensity",
    lambda r: r.mean_carbon_intensity_gco2eq_per_kwh,
    units.intensity_text,
    change="mean_intensity_percent",
)
PEAK_MEMORY = Figure(
    "peak_memory_bytes",
    "Peak memory",
    lambda r: float(r.peak_memory_bytes),
    units.memory_text,
    change="peak_memory_percent",
    note=lambda r: f" ({r.peak_memory_kind})",
)
TEST_ACCURACY = Figure(
    "test_accuracy", "Test accuracy", lambda r: r.test_accuracy, lambda share: f"{100 * share:.2f} %", "accuracy_points"
)
DURATION = Figure("duration_s", "Duration", lambda r: r.duration_s, units.duration_text, change="duration_percent")
# the wait is in the grid's time, the durations are real
WAIT = Figure("wait_s", "From submission to start", lambda r: r.wait_s, units.duration_text, note=_replayed)
FIGURES: Final = (EMISSIONS, ENERGY, INTENSITY, PEAK_MEMORY, TEST_ACCURACY, DURATION, WAIT)
"""All that have a mean and a spread over several runs, in the order of every table."""


class WaitFigure(NamedTuple):
    """A percentage that is known of a wait, over several runs only where every run knows it."""

    key: str
    label: str
    read: Callable[[Waiting], float | None]


WAIT_FIGURES: Final = (
    WaitFigure("waiting_avoided_percent", "Avoided by waiting", lambda w: w.avoided_percent),
    WaitFigure(
        "perfect_foresight_avoided_percent",
        "Avoidable with perfect foresight",
        lambda w: w.perfect_foresight.avoided_percent if w.perfect_foresight else None,
    ),
    WaitFigure(
        "captured_percent",
        "Achieved share of that",
        lambda w: w.perfect_foresight.captured_percent if w.perfect_foresight else None,
    ),
)


class Detail(NamedTuple):
    """A row that is text, or that has no spread: ``after`` names the figure below which it is shown, None = at the end."""

    label: str
    write: Callable[[TrainingRecord], str]
    after: Figure | None = None


def bounds_text(run: TrainingRecord) -> str:
    """Write between which emissions a run's are if the methods err as far as is known."""
    bounds = run.uncertainty
    if bounds is None:
        return units.NONE_TEXT
    return f"{units.grams_text(bounds.emissions_low_gco2eq)} to {units.grams_text(bounds.emissions_high_gco2eq)}"


def _score(run: TrainingRecord) -> str:
    score = run.sci
    if score is None:
        return units.NONE_TEXT
    unit = "1,000 samples" if score.functional_unit == "1000_samples" else score.functional_unit
    embodied = "" if score.embodied_gco2eq is None else ", M included"
    return f"{units.grams_text(score.gco2eq_per_unit)} per {unit}{embodied}"


DETAILS: Final = (
    Detail("within the methods' known errors", bounds_text, EMISSIONS),
    Detail("of which training", lambda r: units.grams_text(r.emissions_train_gco2eq), EMISSIONS),
    Detail("SCI score", _score, EMISSIONS),
    Detail("of which training", lambda r: units.duration_text(r.train_duration_s), DURATION),
    Detail("Seed", lambda r: str(r.seed)),
    Detail("Policy", lambda r: r.policy),
    Detail("Device", lambda r: f"{r.device} ({r.device_name})"),
    Detail("Precision", lambda r: r.precision),
    Detail("Batch (micro x accumulation)", lambda r: f"{r.micro_batch_size} x {r.accumulation_steps}"),
)


class Part(NamedTuple):
    """One part of the attribution."""

    key: str
    label: str
    meaning: str


PARTS: Final = (
    Part("work", "Work", "samples processed"),
    Part("grid_conditions", "Grid conditions", "the grid at submission compared with the baseline's"),
    Part("efficiency", "Efficiency", "energy per sample, PUE included"),
    Part("waiting", "Waiting", "the grid when run compared with the grid at submission"),
)
Credit = Literal["controllable", "external", "not claimed"]


def credit_of(report: Report, part: str) -> Credit:
    """Return whether a part of the attribution is a result of waiting and efficiency that may be claimed."""
    if part in ("work", "grid_conditions"):
        return "external"
    return "controllable" if report.controllable is not None and part in report.controllable.parts else "not claimed"
