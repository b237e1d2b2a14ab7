"""Lines of the ledger that are no rows: they open and close an attempt, so that a reader can tell what is missing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from include.moments import format_moment, parse_moment
from include.records.ledger import LEDGER_SCHEMA_VERSION


class LedgerEventKind(StrEnum):
    """What happened to an attempt."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """An attempt began or ended. ``at`` is real time, also under replay; ``monotonic_s`` is the clock of the rows.

    An opening says in ``details`` what the run is about (so a ledger stands alone), a closing how many rows the attempt
    has and what they sum to (so that a row that was taken out is missed).
    """

    event: LedgerEventKind
    attempt: int
    at: datetime
    monotonic_s: float
    boot_id: str | None = None
    schema_version: str = LEDGER_SCHEMA_VERSION
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json_line(self) -> str:
        """Return the event as one line of JSON, with the line's end."""
        head = {"event": self.event.value, "schema_version": self.schema_version, "attempt": self.attempt}
        clocks = {"at": format_moment(self.at), "monotonic_s": self.monotonic_s, "boot_id": self.boot_id}
        return json.dumps({**head, **clocks, "details": dict(self.details)}, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read one event; keys of later versions are left aside.

        :raises KeyError: a key is missing.
        :raises ValueError: an event or a moment that cannot be read.
        """
        return cls(
            event=LedgerEventKind(data["event"]),
            attempt=int(data["attempt"]),
            at=parse_moment(data["at"]),
            monotonic_s=float(data["monotonic_s"]),
            boot_id=data.get("boot_id"),
            schema_version=str(data["schema_version"]),
            details=dict(data.get("details") or {}),
        )
