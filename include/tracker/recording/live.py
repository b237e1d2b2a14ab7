"""The figures of the moment, for the task's log and the progress line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from include.records import LedgerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """What has been booked so far, by earlier attempts too; intensity is None until this one's first row, seconds are real."""

    power_w: float = 0.0
    energy_kwh: float = 0.0
    emissions_gco2eq: float = 0.0
    carbon_intensity_gco2eq_per_kwh: float | None = None
    elapsed_s: float = 0.0


def figures_of(rows: Sequence[LedgerRow]) -> LiveFigures:
    """Return what a run had used when an attempt of it begins."""
    return LiveFigures(
        energy_kwh=math.fsum(row.energy_kwh for row in rows),
        emissions_gco2eq=math.fsum(row.emissions_gco2eq for row in rows),
    )
