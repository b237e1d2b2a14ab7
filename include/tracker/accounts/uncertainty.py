"""The interval in which a run's figures lie if every method errs as far as is known, all in the same direction.

Interval arithmetic, not a standard deviation: an error of a meter is the same in every row, so nothing averages out. The
bounds of the components add up, and the bounds of energy and intensity multiply.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from include.records import EmissionsInterval, IntensityKind, LedgerRow
from include.tracker.accounts.known_errors import ENERGY_ERRORS, INTENSITY_ERRORS, KnownError


class _Part(NamedTuple):
    name: str
    amount: float
    error: KnownError


def emissions_interval(rows: Sequence[LedgerRow], methods: Mapping[str, str]) -> EmissionsInterval:
    """Return the bounds of a run's energy (kWh, before PUE) and emissions (g, with PUE).

    :param methods: how the energy of ``cpu``, ``gpu`` and ``ram`` was obtained; one that is not named counts as constant.
    """
    energy = [part for part in _components(rows, methods) if part.amount > 0]
    grid = [part for part in _kinds(rows) if part.amount > 0]
    total_kwh = math.fsum(row.energy_kwh for row in rows)
    grams = math.fsum(row.emissions_gco2eq for row in rows)
    low, high = _bounds(energy)
    grid_low, grid_high = _bounds(grid)
    return EmissionsInterval(
        energy_low_kwh=total_kwh * low,
        energy_high_kwh=total_kwh * high,
        emissions_low_gco2eq=grams * low * grid_low,
        emissions_high_gco2eq=grams * high * grid_high,
        basis=(*_basis(energy, "energy"), *_basis(grid, "emissions"), *_machine(rows)),
    )


def _machine(rows: Sequence[LedgerRow]) -> Iterator[str]:
    """Say what the run's share was taken from; how well a share of CPU time tells energy apart is not published."""
    parts = [[getattr(row, f"machine_{name}_energy_kwh") for row in rows] for name in ("cpu", "gpu", "ram")]
    if all(kwh is not None for part in parts for kwh in part):
        total_kwh = math.fsum(kwh for part in parts for kwh in part)
        yield f"the whole machine used {total_kwh:.4g} kWh in the same rows by the same methods, the upper bound of the run's share"


def _components(rows: Sequence[LedgerRow], methods: Mapping[str, str]) -> Iterator[_Part]:
    for name in ("cpu", "gpu", "ram"):
        method = methods.get(name, "constant")
        kwh = math.fsum(getattr(row, f"{name}_energy_kwh") for row in rows)
        yield _Part(f"{name} by {method}", kwh, ENERGY_ERRORS[method])


def _kinds(rows: Sequence[LedgerRow]) -> Iterator[_Part]:
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
