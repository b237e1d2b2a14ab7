"""Adopts orphans, so that a test sees every process that something left behind, whatever it did to its environment."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def no_process_left() -> Iterator[None]:
    """Fail if a process that was started inside is still alive, or was orphaned and is alive, at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = set(psutil.Process().children(recursive=True))
    try:
        yield
        left = survivors(before)
        assert not left, [(process.pid, process.cmdline()) for process in left]
    finally:
        for process in survivors(before):
            process.kill()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def survivors(before: set[psutil.Process]) -> list[psutil.Process]:
    """The living descendants that were not there before; a moment is granted for the dead to be gone."""
    for _ in range(10):
        now = [p for p in psutil.Process().children(recursive=True) if p not in before and _alive(p)]
        if not now:
            break
        time.sleep(0.1)
    return now


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
