"""Copies of a growing ledger in pieces: an object store cannot append, so each piece is an object that is written once.

What a lost machine costs: the rows since the last piece (``interval_s``, a minute unless told otherwise) and the row under way.
"""

import itertools
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from include.errors import ArtifactError, ConfigurationError

_NAME = "ledger-{:06d}.jsonl"
_PATTERN = "ledger-*.jsonl"


class LedgerSegments:
    """Writes what is new of a ledger to ``<root>/<name>/ledger-000001.jsonl`` and so on; whole lines only.

    An earlier attempt's pieces are continued; those of another ledger stay, and this one's go to ``<name>-2``.

    A store that cannot be written is tried again with the next piece, which then holds what is missing; ``problems`` tells.

    :param root: folder or URL that fsspec knows: ``file://``, ``s3://``, ``gs://``, ``memory://`` ...
    :raises ConfigurationError: a URL whose protocol is unknown, or whose driver is not installed.
    """

    def __init__(self, ledger: Path, root: str, name: str, *, interval_s: float) -> None:
        self._ledger, self._interval_s = ledger, interval_s
        self._folder, self._copied, self._number = _own_folder(root, name, ledger)
        self._failing = False
        self.problems: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lowtide-segments", daemon=True)

    def copy(self) -> bool:
        """Write one piece with all whole lines that no piece has yet; say whether there was one to write."""
        try:
            whole = self._new_lines()
            if not whole:
                return False
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _NAME.format(self._number + 1)).write_bytes(whole)
        except Exception as error:  # noqa: BLE001 each store has errors of its own; the training goes on
            self._note(error)
            return False
        self._copied, self._number, self._failing = self._copied + len(whole), self._number + 1, False
        return True

    def _new_lines(self) -> bytes:
        with self._ledger.open("rb") as file:
            file.seek(self._copied)
            new = file.read()
        return new[: new.rfind(b"\n") + 1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.copy()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.copy()

    def _note(self, error: Exception) -> None:
        if not self._failing:
            self.problems.append(f"the ledger's copy in {self._folder} is behind: {error}")
        self._failing = True


def _own_folder(root: str, name: str, ledger: Path) -> tuple[Any, int, int]:
    """Return the folder of a ledger's pieces with their bytes and number; pieces of another ledger are left alone.

    A run that was trained again has a new ledger under its old name: ``<name>-2``, and so on.
    """
    content = ledger.read_bytes() if ledger.exists() else b""
    for number in itertools.count(1):
        folder = open_folder(root) / (name if number == 1 else f"{name}-{number}")
        pieces = _pieces(folder)
        there = b"".join(piece.read_bytes() for piece in pieces)
        if content.startswith(there):
            return folder, len(there), len(pieces)
    raise AssertionError


def open_folder(root: str) -> Any:
    """Return a folder of a file system that fsspec knows.

    :raises ConfigurationError: an unknown protocol, or one whose driver is not installed.
    """
    from upath import UPath  # fsspec takes a while to import, and few runs need it

    try:
        folder = UPath(root)
        folder.fs  # noqa: B018 the driver is imported here
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{root!r} cannot be opened ({error}); install the driver of its protocol, or give a folder"
        ) from None
    return folder


def read_segments(root: str, name: str) -> bytes:
    """Return the ledger that a run's pieces make up.

    :raises ArtifactError: no pieces, or one in between is missing.
    """
    folder = open_folder(root) / name
    pieces = _pieces(folder)
    if not pieces:
        raise ArtifactError(f"{folder}: there are no pieces of a ledger; check the place and the run's name")
    return b"".join(piece.read_bytes() for piece in pieces)


def _pieces(folder: Any) -> list[Any]:
    found = sorted(folder.glob(_PATTERN), key=lambda piece: piece.name) if folder.exists() else []
    for number, piece in enumerate(found, start=1):
        if piece.name != _NAME.format(number):
            raise ArtifactError(f"{folder}: piece {_NAME.format(number)} of the ledger is missing; restore it")
    return found
