"""Other processes as the kernel shows them."""

import os
import signal
import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, zombies included."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def kill_training_children() -> None:
    """Kill the training children of this process, and no other: pytest has children too (multiprocessing's resource tracker)."""
    for pid in children(os.getpid()):
        if b"lowtide.trainer.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def is_gone(pid: int, within_s: float) -> bool:
    """Whether the process ended (or is a zombie that only its parent could bury) within the time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def processes_of_group(group: int) -> list[int]:
    """Return who is in a process group, zombies included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            found.append(int(path.parent.name))
    return found
