"""Processes that write and read one store at once. Usage: python -m tests.support.history_writer ROLE ROOT SEED COUNT."""

import random
import sys
import time
from datetime import timedelta
from pathlib import Path

from tests.support.history import DAY, HOUR, actual, forecast, store

SPAN = (DAY, DAY + timedelta(days=70))


def write(root: Path, seed: int, count: int) -> None:
    """Add values of its own and print each one only after it is stored."""
    choose = random.Random(seed)
    for number in range(count):
        hour, learnt = choose.randrange(24 * 60), DAY + timedelta(days=100, seconds=1000 * seed + number)
        value = 1000.0 * seed + number
        make = choose.choice([actual, forecast])
        store(root).add([make(value, DAY + hour * HOUR), make(value, DAY + (hour + 1) * HOUR)], learnt)
        print(hour, make.__name__, value, flush=True)  # noqa: T201


def read(root: Path, seed: int, count: int) -> None:
    """What has been seen once must never be missing later."""
    del seed
    seen: set[object] = set()
    for _ in range(count):
        kept = store(root)
        now = {k.start for k in kept.known(*SPAN)}
        if not seen <= now or kept.unreadable_files:
            sys.exit(f"{len(seen - now)} intervals vanished, unreadable: {kept.unreadable_files}")
        seen = now
        time.sleep(0.01)
    print(len(seen), flush=True)  # noqa: T201


if __name__ == "__main__":
    role, folder, number, times = sys.argv[1:]
    {"write": write, "read": read}[role](Path(folder), int(number), int(times))
