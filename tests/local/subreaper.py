"""Adopts orphans, so that a test sees every process that something left behind, whatever it did to its environment."""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def no_process_left() -> Iterator[Callable[[], list[psutil.Process]]]:
    """Fail if a process that was started inside is still alive, or was orphaned and is alive, at the end.

    It yields a function that returns those which are alive now: pytest may have children from before (a resource tracker).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = set(psutil.Process().children(recursive=True))
    try:
        yield lambda: started_since(before)
        left = survivors(before)
        assert not left, [(process.pid, process.cmdline()) for process in left]
    finally:
        for process in survivors(before):
            process.kill()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def started_since(before: set[psutil.Process]) -> list[psutil.Process]:
    """Return the living descendants that are not among those of before."""
    return [p for p in psutil.Process().children(recursive=True) if p not in before and is_alive(p)]


def survivors(before: set[psutil.Process]) -> list[psutil.Process]:
    """Return who is alive since then; the dead get a second to be gone."""
    for _ in range(10):
        if not (now := started_since(before)):
            break
        time.sleep(0.1)
    return now


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that ended and was not yet collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
