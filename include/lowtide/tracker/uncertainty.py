"""The interval in which a run's figures lie if every method errs as far as is known, all in the same direction.

Interval arithmetic, not a standard deviation: an error of a meter is the same in every row, so nothing averages out. The
bounds of the components add up, and the bounds of energy and intensity multiply.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from lowtide.records import EmissionsInterval, IntensityKind, LedgerRow, ValuedRow
from lowtide.tracker.emissions import Valuation, machine_totals

# How far each method may err, by which source. ``docs/accounting.md`` repeats the table; a test keeps the two equal.
#
# A bound marked as assumed is Lowtide's, because nothing is published for it: an unknown error must not be shown as zero. No
# bound covers what is not measured: mainboard, fans, disks, network and the loss in the power supply.


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


class _Part(NamedTuple):
    name: str
    amount: float
    error: KnownError


def emissions_interval(valued: Valuation, methods: Mapping[str, str]) -> EmissionsInterval:
    """Return the bounds of a run's energy (kWh, before PUE) and emissions (g, with PUE).

    :param methods: how the energy of ``cpu``, ``gpu`` and ``ram`` was obtained; one that is not named counts as constant.
    """
    energy = [part for part in _components(valued.every, methods) if part.amount > 0]
    grid = [part for part in _kinds(valued.rows) if part.amount > 0]
    total_kwh, grams = valued.energy_kwh, valued.emissions_gco2eq
    low, high = _bounds(energy)
    grid_low, grid_high = _bounds(grid)
    return EmissionsInterval(
        energy_low_kwh=total_kwh * low,
        energy_high_kwh=total_kwh * high,
        emissions_low_gco2eq=grams * low * grid_low,
        emissions_high_gco2eq=grams * high * grid_high,
        basis=(*_basis(energy, "energy"), *_basis(grid, "emissions"), *_machine(valued.every)),
    )


def _machine(rows: Sequence[LedgerRow]) -> Iterator[str]:
    """Yield the machine's total, the upper bound of the run's share; the accuracy of a share of CPU time is not published."""
    machine = machine_totals(rows)
    if machine is not None:
        yield (
            f"the whole machine used {machine.total:.4g} kWh in the same rows by the same methods, the upper bound of the"
            " run's share"
        )


def _components(rows: Sequence[LedgerRow], methods: Mapping[str, str]) -> Iterator[_Part]:
    for name in ("cpu", "gpu", "ram"):
        method = methods.get(name, "constant")
        kwh = math.fsum(getattr(row, f"{name}_energy_kwh") for row in rows)
        yield _Part(f"{name} by {method}", kwh, ENERGY_ERRORS[method])


def _kinds(rows: Sequence[ValuedRow]) -> Iterator[_Part]:
    for kind in IntensityKind:
        grams = math.fsum(row.emissions_gco2eq for row in rows if row.intensity_kind is kind)
        yield _Part(f"at {kind.value} intensity", grams, INTENSITY_ERRORS[kind])


def _bounds(parts: Sequence[_Part]) -> tuple[float, float]:
    total = math.fsum(part.amount for part in parts)
    if total <= 0:
        return 1.0, 1.0
    below = math.fsum(part.amount * part.error.below for part in parts) / total
    above = math.fsum(part.amount * part.error.above for part in parts) / total
    return 1.0 - below, 1.0 + above


def _basis(parts: Sequence[_Part], of: str) -> Iterator[str]:
    total = math.fsum(part.amount for part in parts)
    for part in parts:
        share, error = 100 * part.amount / total, part.error
        yield f"{share:.1f} % of {of} {part.name}: -{100 * error.below:.0f} % to +{100 * error.above:.0f} % ({error.source})"
