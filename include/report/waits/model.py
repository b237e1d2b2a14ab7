"""The wait's part of ``report.json``: what it avoided, what it cost in time, and what was possible."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from include.records import IntensityKind
from include.records.accounts import Frozen, NonNegative

_Change = Annotated[float | None, Field(allow_inf_nan=False)]


class Span(Frozen):
    """A span of time, in policy time."""

    start: AwareDatetime
    end: AwareDatetime


class Oracle(Frozen):
    """What perfect knowledge would have done with this run's own energy curve, between submission and deadline.

    All three emissions are booked at the same readings, so that they can be compared to the last digit.
    """

    window: Annotated[Span, Field(description="submission to deadline, or to the run's own end if that was later")]
    may_pause: Annotated[
        bool, Field(description="true: pauses anywhere at no cost, which no plan can beat; false: in one piece")
    ]
    segments: Annotated[tuple[Span, ...], Field(description="when it would have run")]
    emissions_gco2eq: NonNegative
    at_submission_gco2eq: NonNegative
    as_run_gco2eq: NonNegative
    avoided_gco2eq: Annotated[float, Field(allow_inf_nan=False, description="at submission minus the oracle's")]
    avoided_percent: _Change
    captured_percent: Annotated[
        _Change, Field(description="what the run avoided, of what the oracle would have; null = nothing to avoid")
    ]
    intensity_kinds: Annotated[dict[IntensityKind, NonNegative], Field(description="share of the window's time")]
    sources: tuple[str, ...]


class Waiting(Frozen):
    """The same-run counterfactual: this run's own energy curve, had it begun at submission. Needs no baseline."""

    wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False, description="submission to start, whatever for")]
    no_wait: Annotated[
        str | None, Field(description="why that was no wait for the grid; null = it was, or that is not known")
    ] = None
    queued_s: Annotated[
        NonNegative | None,
        Field(
            description="part of wait_s and paused_s that came after the decision to start: a queue, no wait for the grid;"
            " 0 up to what a start usually takes; null = the decisions were not kept"
        ),
    ] = None
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
    oracle: Oracle | None = None
    oracle_unknown: Annotated[str | None, Field(description="why there is no oracle")] = None
