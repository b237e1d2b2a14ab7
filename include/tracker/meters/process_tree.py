"""CPU time and memory of this process and all that it started, beside the whole machine's: the basis of a run's share."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from include.errors import MeasurementError
from include.tracker.meters.anonymous_memory import AnonymousMemory

_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds since the source was made, and bytes in use at this moment.

    The machine's CPU time is user, nice and system: what interrupts and idling use is shared in the same proportion.
    The machine's memory in use is what is not available (MemTotal - MemAvailable).
    """

    tree_cpu_s: float
    machine_cpu_s: float
    tree_memory_bytes: float
    machine_memory_bytes: float


class UsageSource(Protocol):
    """Tells what the run and the whole machine use."""

    def usage(self) -> Usage:
        """Return the usage up to now.

        :raises MeasurementError: it cannot be read.
        """


class _Process(NamedTuple):
    parent: int
    own_ticks: int
    reaped_ticks: int
    rss_pages: int

    @property
    def ticks(self) -> int:
        return self.own_ticks + self.reaped_ticks


class ProcessTree:
    """Reads ``/proc``. A process stays a member when its parent dies, and its CPU time counts when it is reaped unseen.

    Only members and processes not seen before are opened: a look costs little on a machine with thousands of others.
    Two runs within one process have the same tree; give each run a process of its own.

    :param root: the process at the top; this one unless given.
    :raises MeasurementError: there is no ``/proc`` to read (macOS, Windows).
    """

    def __init__(self, root: int | None = None, proc: Path = Path("/proc")) -> None:
        self._root, self._proc = os.getpid() if root is None else root, proc
        self._tick_s, self._page_bytes = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        self._members: dict[int, _Process] = {}
        self._strangers: set[int] = set()
        self._anonymous = AnonymousMemory(proc)
        self._tree_ticks, self._machine_ticks = 0, self._busy_ticks()
        self._look()
        self._tree_ticks = 0

    @property
    def pids(self) -> frozenset[int]:
        """The processes that were members at the last look."""
        return frozenset(self._members)

    def usage(self) -> Usage:
        """Look once.

        :raises MeasurementError: ``/proc`` can no longer be read.
        """
        self._look()
        rss_bytes = self._page_bytes * sum(process.rss_pages for process in self._members.values())
        return Usage(
            tree_cpu_s=self._tree_ticks * self._tick_s,
            machine_cpu_s=(self._busy_ticks() - self._machine_ticks) * self._tick_s,
            tree_memory_bytes=rss_bytes * self._anonymous.share(self._members, rss_bytes),
            machine_memory_bytes=self._memory_in_use(),
        )

    def _look(self) -> None:
        before, now = self._members, self._find_members()
        survivors = before.keys() & now.keys()
        own = sum(now[pid].own_ticks - before[pid].own_ticks for pid in survivors)
        reaped = sum(now[pid].reaped_ticks - before[pid].reaped_ticks for pid in survivors)
        new = sum(now[pid].ticks for pid in now.keys() - before.keys())
        # what a member had used before it ended moves to its parent when that reaps it: it has been counted already
        gone = sum(before[pid].ticks for pid in before.keys() - now.keys())
        self._tree_ticks += own + new + max(0, reaped - gone)
        self._members = now

    def _find_members(self) -> dict[int, _Process]:
        alive = self._pids()
        self._strangers &= alive
        looked_at = {pid: found for pid in alive - self._strangers if (found := self._read(pid)) is not None}
        members = {pid for pid in (self._root, *self._members) if pid in looked_at}
        grown = True
        while grown:
            more = {pid for pid, process in looked_at.items() if process.parent in members} - members
            members |= more
            grown = bool(more)
        self._strangers |= looked_at.keys() - members
        return {pid: looked_at[pid] for pid in members}

    def _pids(self) -> set[int]:
        try:
            return {int(name) for name in os.listdir(self._proc) if name.isdigit()}  # noqa: PTH208 four times as fast
        except OSError as error:
            raise MeasurementError(f"{self._proc} cannot be read ({error.strerror})") from error

    def _read(self, pid: int) -> _Process | None:
        try:
            text = _content(self._proc / f"{pid}/stat")
        except OSError as error:
            if error.errno in _OUR_OWN_LIMITS:  # else our processes would seem to have ended, and to begin anew later
                raise MeasurementError(f"{self._proc}/{pid}/stat cannot be read ({error.strerror})") from error
            return None  # it has ended since the folder was listed, or is hidden from us
        fields = text[text.rindex(b")") + 2 :].split()  # the name before it may hold anything
        own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
        return _Process(parent=int(fields[1]), own_ticks=own, reaped_ticks=reaped, rss_pages=int(fields[21]))

    def _busy_ticks(self) -> int:
        fields = self._machine("stat").split(maxsplit=5)
        return sum(int(field) for field in fields[1:4])

    def _memory_in_use(self) -> int:
        lines = (line.split() for line in self._machine("meminfo").splitlines())
        kib = {line[0]: int(line[1]) for line in lines}
        return 1024 * (kib[b"MemTotal:"] - kib[b"MemAvailable:"])

    def _machine(self, name: str) -> bytes:
        try:
            return _content(self._proc / name)
        except OSError as error:
            raise MeasurementError(f"{self._proc / name} cannot be read ({error.strerror})") from error


def _content(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.readall()
