"""One runner at a time in one folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from local.problems import LocalProblem


@contextlib.contextmanager
def only_one(file: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel releases it however the runner ends.

    :raises LocalProblem: another runner holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise LocalProblem(
                f"Another Lowtide runner (process {stream.read().strip() or 'unknown'}) is at work in {file.parent};"
                " wait for it, or end it with Ctrl-C in its terminal."
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
