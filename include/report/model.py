"""``report.json``: a run beside its baseline, what changed, why, and how far to trust it."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from include.records.accounts import Frozen
from include.report.accuracy import AccuracySampling
from include.report.fairness.model import Difference, Fairness
from include.report.repeats.model import Interval, KnownErrors, Ours, RepeatedFigure, Repeats, Spread
from include.report.run_figures import RunFigures
from include.report.waits.model import Oracle, Span, Waiting

__all__ = [
    "REPORT_SCHEMA_VERSION",
    "AccuracySampling",
    "AttributionParts",
    "Changes",
    "Difference",
    "Direction",
    "Fairness",
    "Headline",
    "Interval",
    "KnownErrors",
    "Oracle",
    "Ours",
    "RepeatedFigure",
    "Repeats",
    "Report",
    "RunFigures",
    "Span",
    "Spread",
    "Status",
    "Waiting",
]

REPORT_SCHEMA_VERSION: Final = "1.2"
"""1.2 added the wait's oracle and costs, the fairness, repeated runs, the known errors, what counts as ours,
how far the test set's size leaves the accuracies open, and what was said about the choice of the baseline."""

Status = Literal["claimed", "simulated", "withheld", "no_baseline"]
Direction = Literal["lower", "higher", "no_measurable_change"]

_Change = Annotated[float | None, Field(allow_inf_nan=False)]


class Headline(Frozen):
    """What may be said; plain text, escaped only where it is rendered."""

    status: Status
    direction: Direction | None
    text: str
    reasons: tuple[str, ...]


class Changes(Frozen):
    """Run against baseline, negative = less; null without a baseline or where the two are not comparable."""

    emissions_percent: _Change = None
    energy_percent: _Change = None
    mean_intensity_percent: _Change = None
    peak_memory_percent: _Change = None
    accuracy_points: Annotated[_Change, Field(description="percentage points of the test set classified right")] = None
    duration_percent: _Change = None


class AttributionParts(Frozen):
    """LMDI-I parts of the change in grams, negative = less; without a baseline only ``waiting`` is known."""

    work: _Change = None
    efficiency: _Change = None
    grid_conditions: _Change = None
    waiting: _Change = None
    total: _Change = None


class Report(Frozen):
    """One comparison. With several runs a side, changes and attribution are those of the means."""

    schema_version: Literal["1.2"] = REPORT_SCHEMA_VERSION
    generated_at: AwareDatetime
    run_id: str
    baseline_run_id: str | None
    headline: Headline
    changes: Changes
    attribution_gco2eq: AttributionParts
    ours: Annotated[Ours | None, Field(description="null where nothing is attributed, or nothing of it counts")] = None
    waiting: Waiting
    fairness: Fairness = Fairness()
    known_errors: Annotated[KnownErrors | None, Field(description="null where a record does not know them")] = None
    repeats: Annotated[Repeats | None, Field(description="null with one run a side")] = None
    accuracy: Annotated[
        AccuracySampling | None,
        Field(description="null with several runs a side, or where no record knows its number of test samples"),
    ] = None
    repeatability_percent: Annotated[
        _Change, Field(description="a change within this is no measurable one, where no interval over runs is known")
    ] = None
    baseline: RunFigures | None
    run: RunFigures
    baseline_notes: Annotated[
        tuple[str, ...],
        Field(description="about the choice of the baseline; they are among the notes, and kept by a renewal"),
    ] = ()
    notes: tuple[str, ...]
