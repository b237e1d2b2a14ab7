"""CPU time and memory of this process and all that it started, beside the whole machine's: the basis of a run's share."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from lowtide.errors import MeasurementError
from lowtide.tracker.meter import EnergyMeter, MeterReading, Scope

_BUDGET = 2e-4
"""The kernel walks every page for a process's own memory: it is asked so seldom that this share of a processor suffices."""


def _is_alive(folder: Path) -> bool:
    try:
        text = (folder / "stat").read_bytes()
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :].split(maxsplit=1)[0] not in (b"Z", b"X")


_OUR_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds since the source was made, and bytes in use now.

    The machine's CPU time is user, nice and system: what interrupts and idling use is shared in the same proportion.
    The machine's memory in use is what is not available (MemTotal - MemAvailable).
    """

    tree_cpu_s: float
    machine_cpu_s: float
    tree_memory_bytes: float
    machine_memory_bytes: float


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

    Only members and processes not seen before are opened: an update costs little on a machine with thousands of others.
    Two runs within one process have the same tree; give each run a process of its own.

    :param root: the process at the top; this one unless given.
    :raises MeasurementError: there is no ``/proc`` to read (macOS, Windows).
    """

    def __init__(self, root: int | None = None, proc: Path = Path("/proc")) -> None:
        self._root, self._proc = os.getpid() if root is None else root, proc
        self._tick_s, self._page_bytes = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        self._members: dict[int, _Process] = {}
        self._strangers: set[int] = set()
        self._own_share, self._own_share_due_s = 1.0, 0.0
        self._tree_ticks, self._machine_ticks = 0, self._busy_ticks()
        self._update()
        self._tree_ticks = 0

    @property
    def pids(self) -> frozenset[int]:
        """The processes that were members at the last update."""
        return frozenset(self._members)

    def usage(self) -> Usage:
        """Return the usage since this tree was made.

        :raises MeasurementError: ``/proc`` can no longer be read.
        """
        self._update()
        rss_bytes = self._page_bytes * sum(process.rss_pages for process in self._members.values())
        return Usage(
            tree_cpu_s=self._tree_ticks * self._tick_s,
            machine_cpu_s=(self._busy_ticks() - self._machine_ticks) * self._tick_s,
            tree_memory_bytes=rss_bytes * self._share_of_own_pages(rss_bytes),
            machine_memory_bytes=self._memory_in_use(),
        )

    def _update(self) -> None:
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
        read = {pid: found for pid in alive - self._strangers if (found := self._read(pid)) is not None}
        members = {pid for pid in (self._root, *self._members) if pid in read}
        grown = True
        while grown:
            more = {pid for pid, process in read.items() if process.parent in members} - members
            members |= more
            grown = bool(more)
        self._strangers |= read.keys() - members
        return {pid: read[pid] for pid in members}

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

    def _share_of_own_pages(self, rss_bytes: float) -> float:
        """Return the share of the tree's RSS that is its own, renewed when it is due.

        That is anonymous and shared memory, each page divided by those that share it (PSS): pages shared after a fork must not
        be counted once a process. Mapped files are left out: they are the page cache's, and the kernel counts them as available.
        Where the kernel or a permission keeps the figures back, the whole RSS counts, which is never too little.
        """
        began_s = time.monotonic()
        if began_s >= self._own_share_due_s and rss_bytes > 0:
            found = [self._pss_bytes(pid) for pid in self._members]
            whole = [pss for pss in found if pss is not None]
            self._own_share = min(1.0, sum(whole) / rss_bytes) if len(whole) == len(found) else 1.0
            self._own_share_due_s = time.monotonic() + (time.monotonic() - began_s) / _BUDGET
        return self._own_share

    def _pss_bytes(self, pid: int) -> int | None:
        folder = self._proc / str(pid)
        try:
            lines = (folder / "smaps_rollup").read_bytes().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return None if folder.exists() and _is_alive(folder) else 0  # one that has ended holds nothing
        except OSError:
            return None
        kib = [int(line.split()[1]) for line in lines if line.startswith((b"Pss_Anon:", b"Pss_Shmem:"))]
        return 1024 * sum(kib) if kib else None

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


# Charges a run with its share of a machine's energy; the machine's total stays beside it as the upper bound.


class AttributedMeter:
    """CPU energy by the share of CPU time, RAM energy by the share of memory in use, GPU energy of the selected devices.

    All of the machine's energy, idling included, is shared among those that use it at the time: runs side by side are
    together charged no more than the machine used. Where a share cannot be read, the whole is charged until it can be.

    :param usage: returns what the run and the whole machine used up to now, such as ``ProcessTree.usage``.
    """

    scope: Scope = "process_tree"

    def __init__(self, meter: EnergyMeter, usage: Callable[[], Usage]) -> None:
        self._meter, self._read_usage = meter, usage
        self.methods, self.versions, self.gpu_devices = meter.methods, meter.versions, meter.gpu_devices
        self._usage: Usage | None = None
        self._machine = (0.0, 0.0, 0.0)
        self._charged = (0.0, 0.0, 0.0)
        self._cpu_share = self._ram_share = 1.0
        self._problems: list[str] = []

    def start(self) -> MeterReading:
        """Open the window; what the opening itself used is charged whole, since no share of it is known."""
        reading = self._meter.start()
        self._usage = self._update()
        self._ram_share = 1.0 if self._usage is None else _memory_share(self._usage)
        return self._charge(reading, 1.0, self._ram_share)

    def sample(self) -> MeterReading:
        """Charge the interval since the last reading.

        :raises MeasurementError: the machine's meter gave no figure.
        """
        return self._share(self._meter.sample())

    def stop(self) -> MeterReading:
        """Charge the last interval."""
        return self._share(self._meter.stop())

    @property
    def problems(self) -> tuple[str, ...]:
        """The machine's meter's, and where a share was not to be had."""
        return (*self._meter.problems, *self._problems)

    @property
    def shortfall(self) -> str | None:
        """As the machine's meter has it: an unknown share only ever charges too much."""
        return self._meter.shortfall

    def _share(self, reading: MeterReading) -> MeterReading:
        before, now = self._usage, self._update()
        self._usage = now or before
        if before is None or now is None:
            return self._charge(reading, 1.0, 1.0)  # the last share might be that of an idle start
        busy_s = now.machine_cpu_s - before.machine_cpu_s
        if busy_s > 0:  # else the clock of the CPU times has not ticked yet
            self._cpu_share = min(1.0, max(0.0, now.tree_cpu_s - before.tree_cpu_s) / busy_s)
        self._ram_share = (_memory_share(before) + _memory_share(now)) / 2
        return self._charge(reading, self._cpu_share, self._ram_share)

    def _charge(self, reading: MeterReading, cpu_share: float, ram_share: float) -> MeterReading:
        shares = (cpu_share, 1.0, ram_share)
        used = [now - before for now, before in zip(reading.energy_kwh, self._machine, strict=True)]
        cpu, gpu, ram = (total + part * share for total, part, share in zip(self._charged, used, shares, strict=True))
        charged = replace(
            reading, cpu_energy_kwh=cpu, gpu_energy_kwh=gpu, ram_energy_kwh=ram, machine_energy_kwh=reading.energy_kwh
        )
        self._machine, self._charged = reading.energy_kwh, charged.energy_kwh
        return charged

    def _update(self) -> Usage | None:
        try:
            return self._read_usage()
        except MeasurementError as error:
            if not self._problems:
                self._problems.append(
                    f"the run's share of CPU time and memory is not known for a part of it: {error};"
                    " all that the machine used was charged for it"
                )
            return None


def _memory_share(usage: Usage) -> float:
    if usage.machine_memory_bytes <= 0:
        return 1.0
    return min(1.0, usage.tree_memory_bytes / usage.machine_memory_bytes)
