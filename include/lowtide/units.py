"""Conversions between the units that providers and meters use, and ours.

Ours: gCO2eq/kWh, kWh, gCO2eq, seconds, bytes. The unit is part of every name.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from lowtide.timeutil import as_utc

GRAMS_PER_KG = 1_000.0
GCO2EQ_PER_KWH_PER_LB_PER_MWH = 0.45359237
"""1 lb/MWh in g/kWh: the international pound is 453.59237 g, by definition."""
JOULES_PER_KWH = 3_600_000.0
BYTES_PER_GIB = 1024**3
BYTES_PER_MIB = 1024**2


def gco2eq_per_kwh_from_lb_per_mwh(lb_per_mwh: float) -> float:
    """Convert a marginal or average rate in lb/MWh to g/kWh."""
    return lb_per_mwh * GCO2EQ_PER_KWH_PER_LB_PER_MWH


def emissions_gco2eq(energy_kwh: float, carbon_intensity_gco2eq_per_kwh: float, pue: float = 1.0) -> float:
    """Operational emissions O = E x I (ISO/IEC 21031:2024), with the site's PUE applied once, in grams."""
    return energy_kwh * pue * carbon_intensity_gco2eq_per_kwh


def relative_change_percent(value: float, reference: float) -> float | None:
    """100 x (value / reference - 1); None where the reference is zero and no percentage exists."""
    return None if reference == 0 else 100.0 * (value / reference - 1.0)


# Figures as people read them: units that fit, three significant digits, explicit signs.


NONE_TEXT = "n/a"

Units = Sequence[tuple[str, float]]
"""Names with their sizes, the largest first."""
MASS: Units = (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6))
ENERGY: Units = (("MWh", 1e3), ("kWh", 1.0), ("Wh", 1e-3), ("mWh", 1e-6))
POWER: Units = (("MW", 1e6), ("kW", 1e3), ("W", 1.0), ("mW", 1e-3))


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, never as a power of ten."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # first, so that 9.999 counts its digits as 10.0
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, decimals)}f}"


def grams_text(value_gco2eq: float) -> str:
    """Write grams, kilograms or milligrams."""
    return _scaled(value_gco2eq, MASS, zero="0 g", smallest_shown=0.1)


def signed_grams_text(value_gco2eq: float) -> str:
    """Write a change in grams with its sign."""
    return ("+" if value_gco2eq > 0 else "") + grams_text(value_gco2eq)


def energy_text(value_kwh: float) -> str:
    """Write kWh, Wh or mWh."""
    return _scaled(value_kwh, ENERGY, zero="0 Wh")


def power_text(value_w: float) -> str:
    """Write MW, kW, W or mW."""
    return _scaled(value_w, POWER, zero="0 W")


def intensity_text(value_gco2eq_per_kwh: float) -> str:
    """Write an intensity in g/kWh."""
    return f"{significant(value_gco2eq_per_kwh)} g/kWh"


def memory_text(value_bytes: float) -> str:
    """Write bytes in MiB."""
    return f"{value_bytes / BYTES_PER_MIB:,.1f} MiB"


def percent_text(value_percent: float) -> str:
    """Write a share with one decimal, without a sign of its own."""
    return f"{value_percent:.1f} %"


def change_text(value_percent: float | None) -> str:
    """Write a change in percent with its sign."""
    return NONE_TEXT if value_percent is None else _signed(value_percent, 1) + " %"


def points_text(value_points: float | None) -> str:
    """Write a change in percentage points with its sign."""
    return NONE_TEXT if value_points is None else _signed(value_points, 2) + " points"


def duration_text(value_s: float) -> str:
    """Write a duration in at most two units: ``1 h 42 min``, ``12 min 5 s``, ``3 d 4 h``."""
    seconds = round(value_s)
    if seconds < 10:
        return f"{significant(value_s)} s"
    for (unit, size), (smaller, part) in pairwise((("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))):
        if seconds >= (2 * size if unit == "d" else size):  # 28 h, and only then 2 d 3 h
            rest = round(seconds % size / part)
            if rest * part == size:  # 59 min 59.6 s are an hour
                return duration_text((seconds // size + 1) * size)
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def timestamp_text(timestamp: datetime) -> str:
    """Write a timestamp to the second, in UTC."""
    return f"{as_utc(timestamp):%Y-%m-%d %H:%M:%S} UTC"


def _signed(value: float, decimals: int) -> str:
    rounded = round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    sign = "+" if rounded > 0 else ""
    return f"{sign}{rounded:.{decimals}f}"


def _scaled(value: float, units: Units, *, zero: str, smallest_shown: float = 1.0) -> str:
    if abs(value) < units[-1][1] / 1000:  # rounding error of a sum, not a figure
        return zero
    for unit, size in units:
        if abs(value) >= size * smallest_shown and (size <= 1 or abs(value) >= size):
            return f"{significant(value / size)} {unit}"
    unit, size = units[-1]
    return f"{significant(value / size)} {unit}"


# How figures are set in print.


_HYPHEN_BEFORE_FIGURE = re.compile(r"(?<![\w./:-])-(?=\d)")
_UNITS = "%|points|t|kg|g|mg|µg|g/kWh|MWh|kWh|Wh|mWh|MW|kW|W|mW|MiB|d|h|min|s|UTC|runs"
_SPACE_BEFORE_UNIT = re.compile(rf"(?<=\d) (?=(?:{_UNITS})(?![\w/]))")


def with_minus(text: str) -> str:
    """Return a text in which the sign before a figure is a minus, as wide as a plus; dates, names and paths stay."""
    return _HYPHEN_BEFORE_FIGURE.sub("\u2212", text)


def typeset(text: str) -> str:
    """Return a text with minus signs, whose figures are never parted from their units by the end of a line."""
    return _SPACE_BEFORE_UNIT.sub("\u00a0", with_minus(text))
