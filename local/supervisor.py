"""Runs a command and ends every process that it leads to: ``python supervisor.py COMMAND ...``; standard library only.

It is a subreaper: whatever a descendant does (another session, name or environment), it stays below the supervisor, which
ends all of them when the command ends, at a signal, and when its standard input closes, that is when the process that
started it dies. After a byte on standard input it outlives that process.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 6.0  # how long processes may take to leave after SIGTERM; a running task is not waited for
_PR_SET_CHILD_SUBREAPER = 36


def note_signals() -> list[int]:
    """Return a list to which Ctrl-C, SIGTERM and SIGHUP are appended; none of them ends this process at any line."""
    noted: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: noted.append(received))
    return noted


def spawn(command: list[str], log: Path, env: dict[str, str] | None = None, held: int = 0) -> subprocess.Popen[bytes]:
    """Start a command below a supervisor, which keeps a file open; both end when this process does, however that ends."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, __file__, *command],
            bufsize=0,
            env=env,
            pass_fds=[held],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C goes to this process only, which then ends things in order
        )


def main(command: list[str]) -> int:
    """Run the command and return its exit status, or 1 where it was ended."""
    signals = note_signals()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # kept: a dropped Popen may take the status itself
    statuses, watched = dict[int, int](), [sys.stdin.fileno()]
    while child.pid not in statuses and not signals:
        if select.select(watched, [], [], 0.2)[0] and not os.read(watched.pop(), 1):
            break
        _reap(statuses)
    status = statuses.get(child.pid, 1)
    asked, kill_at = set[int](), time.monotonic() + GRACE_S
    while _reap(statuses):
        alive, is_late = _descendants(), time.monotonic() > kill_at
        for process in alive if is_late else alive - asked:  # one that forks while it ends leaves a new one
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if is_late else signal.SIGTERM)
        asked |= alive
        time.sleep(0.05)
    return status


def _descendants() -> set[int]:
    """Return the process ids below this one; zombies count, since a process whose first thread ended looks like one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="latin-1").rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return found - {os.getpid()}


def _reap(statuses: dict[int, int]) -> bool:
    """Add the exit statuses of the children that ended; return whether any is left: what they leave becomes a child."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[ended[0]] = abs(os.waitstatus_to_exitcode(ended[1]))
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
