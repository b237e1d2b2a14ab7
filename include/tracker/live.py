"""The figures of the moment, for the task's log and the progress line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """What has been booked so far; intensity is None until the first row, elapsed seconds are real."""

    power_w: float = 0.0
    energy_kwh: float = 0.0
    emissions_gco2eq: float = 0.0
    carbon_intensity_gco2eq_per_kwh: float | None = None
    elapsed_s: float = 0.0
