"""How figures are set in print."""

import re

_HYPHEN_BEFORE_FIGURE = re.compile(r"(?<![\w./:-])-(?=\d)")


def with_minus(text: str) -> str:
    """Return a text in which the sign before a figure is a minus, as wide as a plus; dates, names and paths stay."""
    return _HYPHEN_BEFORE_FIGURE.sub("\u2212", text)
