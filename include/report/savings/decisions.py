"""What a run's decisions say of its wait: whether it waited for the grid, until when it had to be done, and its last word."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include.moments import parse_moment

_WAITED = (b'"action": "wait"', b'"action": "pause"')
_RUN = b'"action": "run"'
"""As ``json.dumps`` writes it; inside a text the quotes would be escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSeen:
    """``waited`` is None where the decisions were not kept."""

    waited: bool | None
    deadline: datetime | None = None
    last_action: str | None = None
    decided_to_run: tuple[datetime, ...] = ()


def wait_seen(paths: Sequence[Path], since: datetime, started_at: datetime | None = None) -> WaitSeen:
    """Read a run's decisions.

    :param paths: where they lie, those that were made first, first.
    :param since: the training's submission: a run that was submitted anew keeps the decisions of its earlier wait.
    :param started_at: the training's first start; None where there was none, and then no decision to start is looked for.
    """
    lines = [line for path in paths for line in _lines(path)]
    last = next((found for line in reversed(lines) if (found := _decision(line))), None)
    if last is None:
        return WaitSeen(waited=None)
    # from the end: of a run that waited, the look before the start says so, however many there were before
    waited = any((at or since) >= since for at in _moments(lines, *_WAITED))
    return WaitSeen(
        waited=waited,
        deadline=_moment(last, "deadline"),
        last_action=str(last.get("action")),
        decided_to_run=() if started_at is None else _until(started_at, _moments(lines, _RUN)),
    )


def _until(started_at: datetime, newest_first: Iterator[datetime | None]) -> tuple[datetime, ...]:
    """Return the moments down to the one that let the training start, in time order; nobody needs those before it."""
    found: list[datetime] = []
    for at in newest_first:
        if at is not None:
            found.append(at)
            if at <= started_at:
                break
    return tuple(reversed(found))


def _moments(lines: Sequence[bytes], *marks: bytes) -> Iterator[datetime | None]:
    return (_moment(_decision(line), "decided_at") for line in reversed(lines) if any(mark in line for mark in marks))


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


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
