"""A small process beside the child that outlives it for a moment, and ends its whole group when the parent is gone.

The kernel can tie the child's own life to its parent's (PR_SET_PDEATHSIG), but not the lives of what the child started: a
data loader's workers, a program that a user's model calls. They share the child's process group, and the warden, a fork
made before PyTorch is imported, watches the control pipe, which hangs up with the parent however that died.
"""

import contextlib
import os
import select
import signal
import time
from types import TracebackType
from typing import Self

_GRACE_S = 1.0
"""For the child to leave by itself, with the exit status of an orphan."""


class Warden:
    """Used as a context manager around the child's work; does nothing where the child leads no process group.

    :param control_fd: the read end of the control pipe; only watched, never read.
    :param close: descriptors that the warden must not hold open.
    """

    def __init__(self, control_fd: int, *, close: tuple[int, ...]) -> None:
        self._control_fd = control_fd
        self._close = close
        self._pid: int | None = None

    def __enter__(self) -> Self:
        if os.getpgrp() == os.getpid():  # else the group holds strangers
            self._pid = os.fork()
            if self._pid == 0:
                self._guard()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid is not None:  # ended and reaped here: not every container's first process buries strangers
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)

    def _guard(self) -> None:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the child; this one leaves last
            for descriptor in self._close:
                os.close(descriptor)
            poll = select.poll()
            poll.register(self._control_fd, 0)  # hang-ups only
            poll.poll()
            time.sleep(_GRACE_S)
            os.killpg(0, signal.SIGKILL)
        finally:
            os._exit(0)
