"""Lines out of a pipe with a time limit, and the last lines of a file."""

import os
import select
import time
from collections import deque
from pathlib import Path

_TAIL_BYTES = 32 * 1024


class LineReader:
    """Complete lines from a pipe's descriptor, which it owns; an unfinished last line is never given out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._open = True

    def next_line(self, timeout_s: float) -> str | None:
        """Return the next line; None when there is none within the time."""
        while not self._lines and self._is_readable(timeout_s):
            self._read()
        if not self._lines:
            return None
        return self._lines.popleft().decode(errors="replace")

    def _is_readable(self, timeout_s: float) -> bool:
        if not self._open:
            # closed at the far end: without the wait, a caller that polls a child still on its way out would spin
            time.sleep(timeout_s)
            return False
        poll = select.poll()  # select() refuses descriptors above 1023, which a busy worker may well have
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _read(self) -> None:
        chunk = os.read(self._descriptor, 65_536)
        if not chunk:
            self.close()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(lines)

    def close(self) -> None:
        """Close the descriptor; lines already read can still be had."""
        if self._open:
            self._open = False
            os.close(self._descriptor)


def last_lines(path: Path, *, start: int, count: int) -> list[str]:
    """Return the last lines of a file that lie behind an offset; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
