"""Stores and readings for the history's tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.grid.history import HistoryKey, HistoryStore
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType

from tests.support.grid import reading

DAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
KEY = HistoryKey(
    zone="GB", source="neso", signal_type=SignalType.AVERAGE, emission_factor_type=EmissionFactorType.DIRECT
)


def store(root: Path, **changes: Any) -> HistoryStore:
    """Open GB's store; each call is a process of its own as far as its memory goes."""
    return HistoryStore(root, HistoryKey(**KEY.as_json() | changes))


def actual(value: float, start: datetime = DAY, **changes: Any) -> Reading:
    return reading(value, start, **changes)


def forecast(value: float, start: datetime = DAY, **changes: Any) -> Reading:
    return reading(value, start, kind=IntensityKind.FORECAST, **changes)


def hours(start: datetime, *values: float, **changes: Any) -> list[Reading]:
    return [reading(value, start + i * HOUR, **changes) for i, value in enumerate(values)]


def files(kept: HistoryStore) -> list[Path]:
    """Return the store's files of values, without its lock."""
    return sorted(kept.folder.glob("*.csv.gz"))


def grams(readings: Any) -> list[float]:
    return [r.carbon_intensity_gco2eq_per_kwh for r in readings]
