"""The model of ``report.json``: the records of a run and its baseline, what changed, why, and how reliable that is."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from lowtide.records import Frozen, IntensityKind, NonNegative, TrainingRecord

REPORT_SCHEMA_VERSION: Final = "1.3"

Status = Literal["claimed", "simulated", "withheld", "no_baseline"]
Direction = Literal["lower", "higher", "no_measurable_change"]
Bars = Literal["comparison", "efficiency", "nothing"]

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Change = Annotated[float | None, Field(allow_inf_nan=False)]


class Interval(Frozen):
    """Two bounds, the lower one first."""

    low: _Finite
    high: _Finite


class Spread(Frozen):
    """One figure over one side's runs."""

    runs: Annotated[int, Field(ge=1)]
    mean: _Finite
    standard_deviation: Annotated[_Finite | None, Field(description="null: one run has none")]
    interval: Annotated[Interval | None, Field(description="of the mean; Student's t")]


class ReplicateFigure(Frozen):
    """One figure over the runs of both sides, in the unit that its name ends in."""

    name: str
    baseline: Spread | None
    run: Spread


class Replicates(Frozen):
    """Several runs on a side. ``baseline`` and ``run`` of the report are then the first of each side."""

    baselines: tuple[TrainingRecord, ...]
    runs: tuple[TrainingRecord, ...]
    confidence_percent: _Finite
    method: str
    without_interval: Annotated[str | None, Field(description="why changes have no interval; null = they have one")]
    figures: tuple[ReplicateFigure, ...]
    changes: Annotated[dict[str, Interval], Field(description="by the keys of the report's changes")]
    attribution_gco2eq: Annotated[dict[str, Interval], Field(description="by the keys of the report's attribution")]
    controllable_percent: Interval | None
    waiting_avoided_percent: Interval | None


class KnownErrors(Frozen):
    """The bounds of the change if every method errs as far as is known, in the two runs independently."""

    emissions_percent: Interval | None
    energy_per_sample_percent: Interval | None
    same_meters: Annotated[
        bool, Field(description="same methods on the same device: a meter's error is then in both runs, and cancels")
    ]


class Controllable(Frozen):
    """The controllable part of the change, which the headline's direction rests on."""

    parts: Annotated[tuple[str, ...], Field(description="parts of the attribution that are controllable here")]
    change_gco2eq: Annotated[_Finite, Field(description="sum of those parts, weighed by both sides' emissions")]
    change_percent: Annotated[
        _Finite,
        Field(
            description="of what the same samples would have emitted without them: at the baseline's energy per sample"
            " (efficiency), started at submission (waiting)"
        ),
    ]


class Difference(Frozen):
    """One thing in which a run differs from its baseline."""

    what: Annotated[str, Field(description="stable key, e.g. zone, pue, methods.gpu")]
    label: str
    baseline: str
    run: str
    bars: Annotated[
        Bars,
        Field(description="comparison: no claim about the change; efficiency: no claim about efficiency or the total"),
    ]
    why: Annotated[str, Field(description="what the difference means for the reader")]


class Comparability(Frozen):
    """Everything that was compared; without a baseline nothing was."""

    checked: Annotated[tuple[str, ...], Field(description="keys of all that should agree")] = ()
    differences: tuple[Difference, ...] = ()


class Span(Frozen):
    """A span of time, in policy time."""

    start: AwareDatetime
    end: AwareDatetime


class PerfectForesight(Frozen):
    """The best plan for this run's own energy between submission and deadline, had the grid been known in advance.

    The best of the planner's segments at the run's mean power, of every block that begins or ends where the intensity changes, of
    what was done and of a start at submission; all emissions are the run's own energy curve, valued at the same readings.
    """

    window: Annotated[Span, Field(description="submission to deadline, or to the run's own end if that was later")]
    may_pause: Annotated[bool, Field(description="true: pauses anywhere at no cost; false: in one piece")]
    segments: Annotated[tuple[Span, ...], Field(description="when it would have run")]
    emissions_gco2eq: NonNegative
    at_submission_gco2eq: NonNegative
    as_run_gco2eq: NonNegative
    avoided_gco2eq: Annotated[float, Field(allow_inf_nan=False, description="at submission minus the best plan's")]
    avoided_percent: _Change
    captured_percent: Annotated[
        _Change, Field(description="what the run avoided, of what the best plan would have; null = nothing to avoid")
    ]
    intensity_kinds: Annotated[dict[IntensityKind, NonNegative], Field(description="share of the window's time")]
    sources: tuple[str, ...]


class Waiting(Frozen):
    """The same-run counterfactual: this run's own energy curve, had it started at submission. Needs no baseline."""

    wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False, description="submission to start, for whatever reason")]
    no_wait: Annotated[
        str | None, Field(description="why that was no wait for the grid; null = it was, or that is not known")
    ] = None
    queued_s: Annotated[
        NonNegative | None,
        Field(
            description="part of wait_s and paused_s from each decision to start, or resume, to the start: queue and start-up;"
            " null = the decisions were not kept"
        ),
    ] = None
    queue_bars_claim: Annotated[
        bool, Field(description="the queue is more than 5 % of the delay, so that the wait is not claimed")
    ] = False
    not_claimed: Annotated[tuple[str, ...], Field(description="why waiting is not controllable; empty = it is")] = ()
    avoided_gco2eq: Annotated[
        _Change, Field(description="counterfactual minus actual emissions; negative = waiting added emissions")
    ] = None
    avoided_percent: Annotated[_Change, Field(description="of the counterfactual's emissions")] = None
    avoided_low_gco2eq: Annotated[_Change, Field(description="if the meter errs as far as is known")] = None
    avoided_high_gco2eq: _Change = None
    paused_s: Annotated[NonNegative, Field(description="policy time between attempts, of a run that may pause")] = 0.0
    later_s: Annotated[
        NonNegative, Field(description="how much later the run ended for waiting and pausing, in policy time")
    ] = 0.0
    avoided_gco2eq_per_hour: Annotated[_Change, Field(description="of being later; null = not later")] = None
    deadline: Annotated[AwareDatetime | None, Field(description="null = none, or not known")] = None
    deadline_met: Annotated[bool | None, Field(description="null = no deadline known")] = None
    perfect_foresight: PerfectForesight | None = None
    perfect_foresight_unknown: Annotated[str | None, Field(description="why it is not known")] = None


class Headline(Frozen):
    """The claim; plain text, escaped only where it is rendered."""

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


class ReportHead(Frozen):
    """What a report is about, and its claim."""

    schema_version: Literal["1.3"] = REPORT_SCHEMA_VERSION
    generated_at: AwareDatetime
    run_id: str
    baseline_run_id: str | None
    headline: Headline


class Comparison(Frozen):
    """The records of both sides and what follows from them; with several runs a side, changes and parts are the means'."""

    changes: Changes
    attribution_gco2eq: AttributionParts
    controllable: Annotated[
        Controllable | None, Field(description="null where nothing is attributed, or none of it is controllable")
    ] = None
    waiting: Waiting
    fairness: Comparability = Comparability()  # the key of the first edition, which scripts read
    known_errors: Annotated[KnownErrors | None, Field(description="null where a record does not know them")] = None
    replicates: Annotated[Replicates | None, Field(description="null with one run a side")] = None
    repeatability_percent: Annotated[
        _Finite, Field(description="a change within this is no measurable one, where no interval over runs is known")
    ]
    baseline: TrainingRecord | None
    run: TrainingRecord
    baseline_notes: Annotated[
        tuple[str, ...],
        Field(description="about the choice of the baseline; they are among the notes, and kept by a renewal"),
    ] = ()
    notes: tuple[str, ...]


class Report(Comparison, ReportHead):
    """One comparison, with its headline."""
