"""The file that says what is running: for ``make down``, and for a start after a runner was killed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Mode = Literal["starting", "run", "up"]


@dataclass(slots=True, kw_only=True)
class Member:
    """One process that was started; with its start time, since a process id alone may be used again."""

    name: str
    pid: int
    create_time: float


@dataclass(slots=True, kw_only=True)
class Instance:
    """One local Airflow: its marker, its port and the leaders of its process groups."""

    id: str
    port: int
    mode: Mode
    members: list[Member] = field(default_factory=list)

    def write(self, file: Path) -> None:
        """Replace the file in one step."""
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        temporary.replace(file)


def read(file: Path) -> Instance | None:
    """Return what was recorded; None where nothing was, or where the file is not whole."""
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        members = [Member(**member) for member in values.pop("members")]
        return Instance(**values, members=members)
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None
