"""Generates docs/configuration.md from the schema: every key, its default and its meaning.

``python -m lowtide.config.reference > docs/configuration.md`` updates the page; a test compares the two.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lowtide.config.loader import section_of
from lowtide.config.schema import LowtideConfig
from lowtide.timeutil import format_duration

_HEAD = """# Configuration

One YAML file configures a run. `--set key=value` on the command line and the fields of the DAG's trigger form replace single
keys. An unknown key, a wrong value and two keys that exclude each other are refused with the file, the key and the remedy.

This page is generated from the schema (`python -m lowtide.config.reference`).
"""


def configuration_page() -> str:
    """Return the page as Markdown: a section for each part of the file, a row for each key."""
    sections: dict[str, list[str]] = {}
    for key, default, description in _keys(LowtideConfig, ""):
        sections.setdefault(key.partition(".")[0] if "." in key else "", []).append(
            f"| `{key}` | {default} | {description} |"
        )
    parts = [_HEAD]
    for name, rows in sorted(sections.items(), key=lambda section: bool(section[0])):
        title = f"`{name}`" if name else "Top level"
        parts.append("\n".join([f"## {title}", "", "| key | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            yield from _keys(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(field.default), (field.description or "").replace("|", "\\|")


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
