"""A child process as the kernel sees it: started, waited for, ended with its whole process group, reaped with its usage."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """What the kernel booked on the child and the processes that it waited for (``os.wait4``)."""

    peak_rss_bytes: int
    cpu_time_s: float

    @classmethod
    def from_rusage(cls, usage: resource.struct_rusage) -> Self:
        """Linux gives ``ru_maxrss`` in KiB."""
        return cls(peak_rss_bytes=usage.ru_maxrss * 1024, cpu_time_s=usage.ru_utime + usage.ru_stime)


class ChildProcess:
    """One child that leads a session and process group of its own.

    Its death is looked at without reaping it: until ``reap`` its zombie keeps the number of the process group from being
    given to strangers, so that a signal to the group can only meet its own.
    """

    def __init__(
        self, command: list[str], *, folder: Path, environment: Mapping[str, str], output: IO[bytes], events_fd: int
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(events_fd,),
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._popen.pid
        self.usage: ProcessUsage | None = None

    @property
    def is_running(self) -> bool:
        """Whether the child lives; a zombie does not."""
        if self._popen.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is None:
            return None
        return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status

    def write(self, line: str) -> bool:
        """Write to the child's control pipe; False when nobody reads there any more."""
        pipe = self._popen.stdin
        if pipe is None or pipe.closed:
            return False
        try:
            pipe.write(line.encode())
        except BrokenPipeError:
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        """Whether the child ended within the time."""
        until = time.monotonic() + timeout_s
        while self.is_running:
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True

    def signal_child(self, number: signal.Signals) -> None:
        """Signal the child alone; nothing once it is reaped."""
        if self._popen.returncode is None:
            os.kill(self.pid, number)  # at worst a zombie, which is never given to strangers before it is reaped

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the child and what it started; nothing once it is reaped."""
        if self._popen.returncode is not None:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # it has not made its session yet, or nobody is left in it

    def reap(self) -> None:
        """Collect the child's status and usage, waiting for it if need be; idempotent."""
        if self._popen.returncode is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._popen.returncode = os.waitstatus_to_exitcode(status)
            self.usage = ProcessUsage.from_rusage(usage)
        if self._popen.stdin is not None:
            self._popen.stdin.close()


def describe_exit(status: int) -> str:
    """Say an exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
