"""How far each method may err, and who says so. ``docs/accounting.md`` repeats the table; a test holds the two together.

A bound marked as assumed is ours, because nothing is published for it; it is there so that an unknown error is not shown as
none. What no method here sees is in no bound: mainboard, fans, disks, network and the loss in the power supply.
"""

from typing import Final, NamedTuple

from include.records import IntensityKind


class KnownError(NamedTuple):
    """Relative bounds: the true figure lies between (1 - below) and (1 + above) times the figure."""

    below: float
    above: float
    source: str


_METERS = "CodeCarbon against external meters errs by up to 40 %: Fischer 2025, arXiv:2509.22092"
_GB_FORECAST = (
    "standard deviation of Great Britain's half-hourly forecast error, 2017 to 2023, mean absolute error 7.1 %:"
    " nickmp.com/posts/carbon-intensity-forecast-tracking"
)
_GIVEN = KnownError(0.0, 0.0, "given, not measured")

ENERGY_ERRORS: Final[dict[str, KnownError]] = {
    "rapl": KnownError(0.40, 0.40, _METERS),
    "nvml": KnownError(0.40, 0.40, _METERS),
    "tdp_estimate": KnownError(0.50, 1.00, "assumed: a factor of two; an unknown processor counts as 4 W a thread"),
    "constant": KnownError(0.50, 1.00, "assumed: a factor of two; the constant does not follow the load"),
    "replayed": _GIVEN,
    "none": _GIVEN,
}
"""Of the energy of a component, by the method that the record names."""

INTENSITY_ERRORS: Final[dict[IntensityKind, KnownError]] = {
    IntensityKind.MEASURED: KnownError(0.05, 0.05, "assumed: later revisions; the emission factors are taken as given"),
    IntensityKind.ESTIMATED: KnownError(0.10, 0.10, "assumed: the provider filled in what was not reported"),
    IntensityKind.FORECAST: KnownError(0.29, 0.29, _GB_FORECAST),
    IntensityKind.CACHED: KnownError(0.29, 0.29, f"taken as a forecast's: {_GB_FORECAST}"),
    IntensityKind.MODELLED: KnownError(
        0.35, 0.35, "standard deviation of the hours of 2020 in Germany (35 %), Great Britain (31 %), California (26 %)"
    ),
    IntensityKind.REPLAYED: _GIVEN,
}
"""Of the grid's intensity, by the kind that the row names."""
