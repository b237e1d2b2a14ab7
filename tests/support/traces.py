"""Series like a grid's: the profile of a zone with seeded noise, and the files that hold them."""

import gzip
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lowtide.config.zones import find_zone
from lowtide.grid.providers.offline import profiles
from lowtide.timeutil import format_time

SPRING = datetime(2031, 2, 3, tzinfo=UTC)
HEADER = "timestamp,carbon_intensity_gco2eq_per_kwh\n"


def grid_like(
    days: float, *, start: datetime = SPRING, step: timedelta = timedelta(hours=1), zone: str = "DE", seed: int = 1
) -> list[float]:
    """Values of a zone's profile times a noise that remembers its last half day."""
    draw = random.Random(seed)
    profile, timezone = profiles()[zone], find_zone(zone).timezone
    memory = math.exp(-step / timedelta(hours=12))
    level, values = 0.0, []
    for i in range(round(timedelta(days=days) / step)):
        level = memory * level + draw.gauss(0.0, 0.25 * math.sqrt(1 - memory**2))
        usual = profile.intensity_gco2eq_per_kwh((start + i * step).astimezone(timezone))
        values.append(round(usual * math.exp(level), 2))
    return values


def write_trace(
    path: Path,
    values: Sequence[float],
    *,
    start: datetime = SPRING,
    step: timedelta = timedelta(hours=1),
    without: Sequence[int] = (),
) -> Path:
    """Write values as a trace, plain or packed by the file's name, leaving out some rows."""
    rows = [f"{format_time(start + i * step)},{value}\n" for i, value in enumerate(values) if i not in set(without)]
    content = (HEADER + "".join(rows)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
