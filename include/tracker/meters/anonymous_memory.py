"""How much of a process tree's resident memory is its own: pages shared after a fork must not be counted once a process."""

import time
from collections.abc import Iterable
from pathlib import Path

_BUDGET = 2e-4
"""The kernel walks every page for these figures: they are renewed so seldom that this share of a processor suffices."""


class AnonymousMemory:
    """The tree's anonymous and shared memory, each page divided by those that share it (PSS), as a share of its RSS.

    Mapped files are left out: they are the page cache's, and the kernel counts them as available. Where the kernel or a
    permission keeps the figures back, the whole RSS counts, which is never too little.
    """

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._share = 1.0
        self._not_before_s = 0.0

    def share(self, pids: Iterable[int], rss_bytes: float) -> float:
        """Return the share, renewed when it is due."""
        began_s = time.monotonic()
        if began_s >= self._not_before_s and rss_bytes > 0:
            found = [self._pss_bytes(pid) for pid in pids]
            whole = [pss for pss in found if pss is not None]
            self._share = min(1.0, sum(whole) / rss_bytes) if len(whole) == len(found) else 1.0
            self._not_before_s = time.monotonic() + (time.monotonic() - began_s) / _BUDGET
        return self._share

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


def _is_alive(folder: Path) -> bool:
    try:
        text = (folder / "stat").read_bytes()
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :].split(maxsplit=1)[0] not in (b"Z", b"X")
