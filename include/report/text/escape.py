"""Makes text from configuration harmless in Markdown: a run's name must not become a table cell, a link or HTML."""

import html
import re
import unicodedata

_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_MARKUP = re.compile(r"([\\`*\[\]|~#]|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
"""What begins or ends markup, also a bare address, which GitHub makes a link."""
_UNDERSCORES = re.compile(r"(?<!_)(?:(?<![^\W_])_+|_+(?![\w]))(?!_)")
"""Those at a word's edge are emphasis; inside a word they stand as they are."""


def plain(text: str) -> str:
    """Return one line without control, bidirectional or invisible characters."""
    visible = (" " if unicodedata.category(character) in _INVISIBLE else character for character in text)
    return " ".join("".join(visible).split())


def markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, also inside a table."""
    escaped = _MARKUP.sub(r"\\\1", html.escape(plain(text), quote=False))
    return _UNDERSCORES.sub(lambda found: r"\_" * len(found[0]), escaped)
