"""A run of an hour at night, booked at forecasts, and the actual figures, which came out 20 g/kWh lower."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lowtide.records import IntensityKind, Reading, TrainingRecord
from lowtide.runs.folder import RunFolder

from tests.support.runs import booked_rows, slot_reading, write_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


STARTED = datetime(2026, 3, 2, 1, 10, tzinfo=UTC)


NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


HALF_HOUR = timedelta(minutes=30)


def grid(kind: IntensityKind, offset: float = 0.0) -> list[Reading]:
    """Half-hours from submission on: dirty in the evening, clean at night."""
    start = SUBMITTED - HALF_HOUR
    return [slot_reading(start + k * HALF_HOUR, 260 - 8 * k + offset, kind) for k in range(20)]


FORECAST = grid(IntensityKind.FORECAST, 20.0)


ACTUAL = grid(IntensityKind.ESTIMATED)


def actuals(start: datetime, end: datetime) -> Sequence[Reading]:
    return [reading for reading in ACTUAL if reading.start < end and reading.end > start]


def finished(path: Path, pue: float = 1.2) -> tuple[RunFolder, TrainingRecord]:
    rows = booked_rows(STARTED, FORECAST, pue=pue)
    return write_run(path, rows, submitted_at=SUBMITTED, at_submission=FORECAST, pue=pue)
