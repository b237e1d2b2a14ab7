"""The uncertainty's part of ``report.json``: several runs a side, and the methods' known errors."""

from typing import Annotated

from pydantic import Field

from include.records.accounts import Frozen
from include.report.run_figures import RunFigures

_Finite = Annotated[float, Field(allow_inf_nan=False)]


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


class RepeatedFigure(Frozen):
    """One figure over the runs of both sides, in the unit that its name ends in."""

    name: str
    baseline: Spread | None
    run: Spread


class Repeats(Frozen):
    """Several runs on a side. ``baseline`` and ``run`` of the report are then the first of each side."""

    baselines: tuple[RunFigures, ...]
    runs: tuple[RunFigures, ...]
    confidence_percent: _Finite
    method: str
    without_interval: Annotated[str | None, Field(description="why changes have no interval; null = they have one")]
    figures: tuple[RepeatedFigure, ...]
    changes: Annotated[dict[str, Interval], Field(description="by the keys of the report's changes")]
    attribution_gco2eq: Annotated[dict[str, Interval], Field(description="by the keys of the report's attribution")]
    ours_percent: Interval | None
    waiting_avoided_percent: Interval | None


class KnownErrors(Frozen):
    """Between which bounds the change lies if every method errs as far as is known, in the two runs independently."""

    emissions_percent: Interval | None
    energy_per_sample_percent: Interval | None
    same_meters: Annotated[
        bool,
        Field(description="same methods on the same device: a meter's error is then in both runs, and cancels"),
    ]


class Ours(Frozen):
    """What the headline's direction rests on."""

    parts: Annotated[tuple[str, ...], Field(description="parts of the attribution that count as ours here")]
    change_gco2eq: Annotated[_Finite, Field(description="sum of those parts, weighed by both sides' emissions")]
    change_percent: Annotated[
        _Finite,
        Field(
            description="of what the same samples would have emitted without them: at the baseline's energy per sample"
            " (efficiency), begun at submission (waiting)"
        ),
    ]
