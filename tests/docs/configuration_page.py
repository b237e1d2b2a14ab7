"""Generates docs/configuration.md from the schema: every key, its default and its meaning.

``python -m tests.docs.configuration_page > docs/configuration.md`` updates the page; a test compares the two.
"""

import sys
from datetime import timedelta
from typing import Any

from lowtide.config.loader import all_fields, section_of
from lowtide.timeutil import format_duration
from pydantic_core import PydanticUndefined

_HEAD = """# Configuration

One YAML file configures a run. `--set key=value` on the command line and the fields of the DAG's trigger form replace single
keys. An unknown key, a wrong value and two keys that exclude each other are refused with the file, the key and the remedy.

This page is generated from the schema (`python -m tests.docs.configuration_page`).
"""


def configuration_page() -> str:
    """Return the page as Markdown: a section for each part of the file, a row for each key."""
    sections: dict[str, list[str]] = {}
    for key, field in all_fields():
        if section_of(field.annotation) is None:
            meaning = (field.description or "").replace("|", "\\|")
            row = f"| `{key}` | {_default(field.default)} | {meaning} |"
            sections.setdefault(key.partition(".")[0] if "." in key else "", []).append(row)
    parts = [_HEAD]
    for name, rows in sorted(sections.items(), key=lambda section: bool(section[0])):
        title = f"`{name}`" if name else "Top level"
        parts.append("\n".join([f"## {title}", "", "| key | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "`null`"
    if value == ():
        return "`[]`"
    return f"`{format_duration(value) if isinstance(value, timedelta) else value}`"


if __name__ == "__main__":
    sys.stdout.write(configuration_page())
