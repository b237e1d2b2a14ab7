"""The fairness' part of ``report.json``: what two runs should have in common, and where they differ."""

from typing import Annotated, Literal

from pydantic import Field

from include.records.accounts import Frozen

Bars = Literal["comparison", "efficiency", "nothing"]


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


class Fairness(Frozen):
    """Everything that was held against one another; without a baseline nothing was."""

    checked: Annotated[tuple[str, ...], Field(description="keys of all that should agree")] = ()
    differences: tuple[Difference, ...] = ()
