"""How figures are set in print."""

import re
from itertools import pairwise

from include.report.text.figures import significant

_HYPHEN_BEFORE_FIGURE = re.compile(r"(?<![\w./:-])-(?=\d)")
_UNITS = "%|points|t|kg|g|mg|µg|g/kWh|MWh|kWh|Wh|mWh|MW|kW|W|mW|MiB|d|h|min|s|UTC|runs"
_SPACE_BEFORE_UNIT = re.compile(rf"(?<=\d) (?=(?:{_UNITS})(?![\w/]))")


def with_minus(text: str) -> str:
    """Return a text in which the sign before a figure is a minus, as wide as a plus; dates, names and paths stay."""
    return _HYPHEN_BEFORE_FIGURE.sub("\u2212", text)


def typeset(text: str) -> str:
    """Return a text with minus signs, whose figures are never parted from their units by the end of a line."""
    return _SPACE_BEFORE_UNIT.sub("\u00a0", with_minus(text))


def time_text(value_s: float) -> str:
    """Write a length of time with its units, in at most two of them: ``1 h 42 min``, ``12 min 5 s``, ``3 d 4 h``."""
    seconds = round(value_s)
    if seconds < 10:
        return f"{significant(value_s)} s"
    for (unit, size), (smaller, part) in pairwise((("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))):
        if seconds >= (2 * size if unit == "d" else size):  # 28 h, and only then 2 d 3 h
            rest = round(seconds % size / part)
            if rest * part == size:  # 59 min 59.6 s are an hour
                return time_text((seconds // size + 1) * size)
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"
