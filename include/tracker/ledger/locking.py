"""One process at a time: who appends to a ledger, or replaces it, holds it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from include.errors import ArtifactError, LedgerInUse

_LOOK_AGAIN_S = 0.1


def open_held(path: Path, flags: int, *, patience_s: float = 0.0) -> int:
    """Open a ledger that nobody else holds and return its descriptor; closing it gives the ledger back.

    :param patience_s: how long to wait for another process; a settlement needs a moment, a training hours.
    :raises LedgerInUse: another process holds it still.
    :raises OSError: the file cannot be opened.
    """
    until_s = time.monotonic() + patience_s
    while True:
        file = os.open(path, flags, 0o644)
        try:
            trouble = _held_by_another(file, path)
        except BaseException:
            os.close(file)
            raise
        if trouble is None:
            return file
        os.close(file)
        if time.monotonic() >= until_s:
            raise LedgerInUse(f"{path}: {trouble}")
        time.sleep(_LOOK_AGAIN_S)


@contextlib.contextmanager
def hold_ledger(path: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Keep other writers from a ledger that is there, without opening it to append.

    :raises LedgerInUse: another process writes to it.
    :raises ArtifactError: the file cannot be opened.
    """
    # over NFS nobody gets an exclusive lock who may not write
    flags = os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY
    try:
        file = open_held(path, flags, patience_s=patience_s)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be opened ({error.strerror}); check the path and its permissions"
        ) from error
    try:
        yield
    finally:
        os.close(file)


def _held_by_another(file: int, path: Path) -> str | None:
    try:
        # a worker taken for dead and its retry must not interleave their rows
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another process writes to this ledger; wait for it, or end it"
    # else rows would go into a file that has lost its name
    return None if _is_at(file, path) else "another process has just replaced this ledger; try again"


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
