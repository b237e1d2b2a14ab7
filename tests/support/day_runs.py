"""A run of hours on a grid with a tide: waits, trains, pauses; a real ledger, decisions and readings, no training."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.records import EmissionFactorType, IntensityKind, Phase, Reading, SignalType, TrainingRecord, ValuedRow
from lowtide.runs.account import derive
from lowtide.runs.context import RunDetails
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import format_time
from lowtide.tracker.ledger import IntensityLog, LedgerWriter
from lowtide.trainer.protocol import TrainingResult
from pydantic import BaseModel

from tests.support.runs import RESULT, date_events, opening, write_grid_since_submission
from tests.support.valuing import value_interval

EVENING = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
_SLOT = timedelta(minutes=30)


def tide_gco2eq_per_kwh(at: datetime) -> float:
    """A grid that is dirtiest at 18:00 and cleanest at 03:00 UTC, with a ripple."""
    hour = at.timestamp() / 3600 % 24
    return round(190 + 90 * math.cos((hour - 18) / 24 * 2 * math.pi) + 14 * math.sin(hour * 2.1), 1)


def tide(start: datetime, end: datetime, kind: IntensityKind = IntensityKind.MEASURED) -> list[Reading]:
    """Half-hourly readings that cover a span."""
    first = datetime.fromtimestamp(start.timestamp() // 1800 * 1800, UTC)
    slots = math.ceil((end - first) / _SLOT)
    return [
        Reading(
            zone="GB",
            start=first + k * _SLOT,
            end=first + (k + 1) * _SLOT,
            carbon_intensity_gco2eq_per_kwh=tide_gco2eq_per_kwh(first + k * _SLOT),
            source="neso",
            kind=kind,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=EmissionFactorType.DIRECT,
        )
        for k in range(slots)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRun:
    """What a run does: waits, then trains for ``hours`` of rows of ``row_s`` seconds, with pauses (after h, for h)."""

    submitted_at: datetime = EVENING
    wait: timedelta = timedelta(0)
    hours: float = 2.0
    row_s: float = 60.0
    power_w: float = 320.0
    pauses: Sequence[tuple[float, float]] = ()
    pue: float = 1.0
    policy: str = "immediate"
    decisions: bool = True
    grid_since_submission: bool = True
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def deadline(self) -> datetime:
        """Twice the training after the wait, and the pauses, and 6 h."""
        pauses = sum(length for _, length in self.pauses)
        return self.submitted_at + self.wait + timedelta(hours=2 * self.hours + pauses + 6)

    def rows(self) -> list[ValuedRow]:
        """The ledger's rows: a minute of starting, then training, with a minute at a checkpoint every hour."""
        rows: list[ValuedRow] = []
        for attempt, elapsed_s, begin in self._instants():
            kwh = self._power_w(elapsed_s) * self.row_s / 3.6e6
            rows += value_interval(
                begin,
                begin + timedelta(seconds=self.row_s),
                (0.14 * kwh, 0.82 * kwh, 0.04 * kwh),
                tide(begin, begin + timedelta(seconds=self.row_s)),
                phase=self._phase(elapsed_s),
                attempt=attempt,
                monotonic_s=elapsed_s + self.row_s,
                pue=self.pue,
            )
        return rows

    def write(self, path: Path) -> tuple[RunFolder, TrainingRecord]:
        """Leave what such a run leaves."""
        folder = RunFolder(path)
        folder.create()
        changes: dict[str, Any] = {"run_id": f"nightly/{path.name}", "policy": self.policy} | self.changes
        rows = self.rows()
        with LedgerWriter(folder.ledger) as ledger:
            for attempt in sorted({row.attempt for row in rows}):
                ledger.open_attempt(attempt, opening(self.submitted_at, pue=self.pue, **self._of(RunDetails, changes)))
                ledger.append([row for row in rows if row.attempt == attempt])
                if attempt < rows[-1].attempt:
                    ledger.close_attempt("paused")
            ledger.close_attempt("finished", changes.get("problems", ()), result=self._result(changes))
        date_events(folder.ledger)
        meaning: dict[str, Any] = {
            "emission_factor_type": EmissionFactorType(changes.get("emission_factor_type", "direct"))
        }
        if "replay" in changes:
            meaning["kind"] = IntensityKind.REPLAYED
        at_rows = [reading for row in rows for reading in tide(row.start, row.end)]
        IntensityLog(path).append([replace(reading, **meaning) for reading in dict.fromkeys(at_rows)], rows[0].start)
        if self.grid_since_submission:
            end = max(rows[-1].end, self.deadline)
            readings = [replace(reading, **meaning) for reading in tide(self.submitted_at, end)]
            write_grid_since_submission(folder, readings, rows)
        if self.decisions:
            folder.append_decisions(list(self._decisions(rows[0].start)))
        record = derive(folder)
        assert isinstance(record, TrainingRecord)
        return folder, record

    @staticmethod
    def _of(model: type[BaseModel], changes: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in changes.items() if name in model.model_fields}

    def _result(self, changes: dict[str, Any]) -> dict[str, Any]:
        return RESULT | {"train_duration_s": self.hours * 3500} | self._of(TrainingResult, changes)

    def _instants(self) -> Iterator[tuple[int, float, datetime]]:
        at, attempt, pending = self.submitted_at + self.wait, 1, sorted(self.pauses)
        for k in range(round(self.hours * 3600 / self.row_s)):
            elapsed_s = k * self.row_s
            if pending and elapsed_s >= pending[0][0] * 3600:
                at, attempt = at + timedelta(hours=pending.pop(0)[1]), attempt + 1
            yield attempt, elapsed_s, at
            at += timedelta(seconds=self.row_s)

    def _power_w(self, elapsed_s: float) -> float:
        if self._phase(elapsed_s) is not Phase.TRAIN:
            return 0.45 * self.power_w
        return self.power_w * (1 + 0.04 * math.sin(elapsed_s / 700) + 0.02 * math.sin(elapsed_s / 61))

    def _phase(self, elapsed_s: float) -> Phase:
        if elapsed_s < 60:
            return Phase.STARTUP
        return Phase.CHECKPOINT if elapsed_s % 3600 < 60 else Phase.TRAIN

    def _decisions(self, started: datetime) -> Iterator[dict[str, Any]]:
        at = self.submitted_at
        while at < started:
            yield self._decision("wait", "above_threshold", at)
            at += timedelta(minutes=10)
        yield self._decision("run", "below_threshold", started)
        begin = started
        for after_h, length_h in self.pauses:
            pause = begin + timedelta(hours=after_h)
            yield self._decision("pause", "forecast_minimum", pause - timedelta(minutes=2))
            begin += timedelta(hours=length_h)
            looks = round(length_h * 6)
            for k in range(1, looks):
                yield self._decision("wait", "forecast_minimum", pause + timedelta(minutes=10 * k))

    def _decision(self, action: str, reason: str, at: datetime) -> dict[str, Any]:
        reading = tide(at, at + timedelta(minutes=1))[0]
        return {
            "action": action,
            "reason": reason,
            "text": f"{action}: GB has {reading.carbon_intensity_gco2eq_per_kwh:g} g/kWh",
            "reading": reading.as_json(),
            "threshold_gco2eq_per_kwh": 150.0,
            "decided_at": format_time(at),
            "deadline": format_time(self.deadline),
        }


def evening_baseline(**changes: Any) -> DayRun:
    """A run in the evening's peak, at once."""
    return DayRun(**{"hours": 2.0, "submitted_at": EVENING - timedelta(days=7), **changes})


def night_run(**changes: Any) -> DayRun:
    """The same training a week later, put off into the night and paused once."""
    fields = {
        "policy": "interruptible",
        "precision": "bf16",
        "micro_batch_size": 128,
        "accumulation_steps": 4,
        "test_accuracy": 0.9862,
        "peak_memory_bytes": 260 * 1024**2,
    }
    standard: dict[str, Any] = {
        "wait": timedelta(hours=5),
        "hours": 1.7,
        "power_w": 290.0,
        "pauses": [(0.9, 1.25)],
        "policy": "interruptible",
        "changes": fields,
    }
    return DayRun(**(standard | changes))
