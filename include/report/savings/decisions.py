"""What a run's decisions say of its wait: whether it waited for the grid, until when it had to be done, and its last word."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include.moments import parse_moment

_WAITED = (b'"action": "wait"', b'"action": "pause"')
"""As ``json.dumps`` writes it; inside a text the quotes would be escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSeen:
    """``waited`` is None where the decisions were not kept."""

    waited: bool | None
    deadline: datetime | None = None
    last_action: str | None = None


def wait_seen(path: Path, since: datetime) -> WaitSeen:
    """Read a run's decisions.

    :param since: the training's submission: a run that was submitted anew keeps the decisions of its earlier wait.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return WaitSeen(waited=None)
    last = next((found for line in reversed(lines) if (found := _decision(line))), None)
    if last is None:
        return WaitSeen(waited=None)
    # from the end: of a run that waited, the look before the start says so, however many there were before
    candidates = (line for line in reversed(lines) if any(mark in line for mark in _WAITED))
    waited = any((_moment(_decision(line), "decided_at") or since) >= since for line in candidates)
    return WaitSeen(waited=waited, deadline=_moment(last, "deadline"), last_action=str(last.get("action")))


def _decision(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:  # a line that a killed worker left half-written
        return {}
    return found if isinstance(found, dict) else {}


def _moment(decision: dict[str, Any], name: str) -> datetime | None:
    try:
        return parse_moment(decision[name])
    except (KeyError, TypeError, ValueError):
        return None
