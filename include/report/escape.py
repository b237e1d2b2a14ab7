"""Makes text from configuration harmless in Markdown: a run's name must not become a table cell, a link or HTML."""

import html
import re
import unicodedata

_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_MARKUP = re.compile(r"([\\`*\[\]|~#])")


def plain(text: str) -> str:
    """Return one line without control, bidirectional or invisible characters."""
    visible = (" " if unicodedata.category(character) in _INVISIBLE else character for character in text)
    return " ".join("".join(visible).split())


def markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, also inside a table."""
    return _MARKUP.sub(r"\\\1", html.escape(plain(text), quote=False))
