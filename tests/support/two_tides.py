"""A grid with two clean stretches a day, 12:00 to 13:00 and 16:00 to 18:00 UTC, and a configuration that trains on it."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.config_files import write_config
from tests.support.traces import write_trace

CLEAN, DIRTY = 100.0, 400.0
FIRST = datetime(2031, 1, 1, tzinfo=UTC)
DAYS = 60
NOON = FIRST + timedelta(days=DAYS - 2, hours=12)
SPEED = 900.0
"""An hour of the grid passes in four seconds."""
EXPECTED = timedelta(hours=2, minutes=30)
PASS_S = 0.02
"""How long the slow model takes for a micro-batch."""
_PASSES_PER_EPOCH = 20


def two_tides(
    folder: Path, *, clean_hours: Collection[int] = (12, 16, 17), start: datetime = NOON, **changes: Any
) -> Path:
    """Write a configuration for a job of two and a half hours that is submitted at noon and may take twelve."""
    day = [CLEAN if hour in clean_hours else DIRTY for hour in range(24)]
    folder.mkdir(parents=True, exist_ok=True)
    trace = write_trace(folder / "GB_2031.csv", day * DAYS, start=FIRST)
    epochs = round(EXPECTED.total_seconds() / SPEED / (PASS_S * _PASSES_PER_EPOCH))
    settings: dict[str, Any] = {
        "grid__zone": "GB",
        "grid__replay": {"trace": str(trace), "virtual_start": start.isoformat(), "speed": SPEED},
        "scheduler__policy": "interruptible",
        "scheduler__deadline": "12h",
        "scheduler__expected_duration": "2h30m",
        "scheduler__poke_interval": "10m",
        "scheduler__pausing": {"minimum_slice": "30m", "resume_time": "2m", "resume_energy": "2m"},
        "training__model": {"path": "tests.support.slow_model:slow_model"},
        "training__epochs": epochs,
    }
    return write_config(folder, **(settings | changes))
