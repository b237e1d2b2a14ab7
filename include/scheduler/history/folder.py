"""The files of a store: read them while others write and compact, publish new ones, never change one."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from include.errors import ArtifactError
from include.files import write_bytes_atomically
from include.scheduler.history.key import HistoryKey
from include.scheduler.history.parts import Part, PartName, UnreadablePart, decode_part, encode_part

_log = logging.getLogger(__name__)
_ATTEMPTS = 100
_LEFTOVER_AGE = timedelta(hours=1)
"""A temporary file of this age belongs to a writer that is dead."""


class PartFolder:
    """Immutable parts under one folder. Parts once read are kept in memory: they cannot change."""

    def __init__(self, path: Path, key: HistoryKey) -> None:
        self.path = path
        self.key = key
        self._read: dict[str, Part] = {}
        self._unreadable: dict[str, str] = {}

    @property
    def unreadable(self) -> dict[str, str]:
        """Parts that were skipped, with the reason, as far as they have been looked at."""
        return dict(self._unreadable)

    def names(self) -> list[PartName]:
        """Return the parts that are there now.

        :raises ArtifactError: the folder is there but cannot be listed.
        """
        try:
            found = [PartName.parse(entry.name) for entry in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArtifactError(
                f"cannot list {self.path} ({error.strerror}); the artifact root must be a folder that can be read"
            ) from None
        return sorted((name for name in found if name is not None), key=lambda name: name.text)

    def parts(self, wanted: Callable[[PartName], bool]) -> dict[str, Part]:
        """Return the wanted parts by name, without those whose values another one holds too.

        A part that vanishes between the listing and the reading has been compacted: then all is listed again.

        :raises ArtifactError: a part that is there but may not be read, or a folder that never holds still.
        """
        for _ in range(_ATTEMPTS):
            names = self.names()
            self._forget_all_but({name.text for name in names})
            try:
                return self._present([name for name in names if wanted(name)])
            except FileNotFoundError:
                continue
        raise ArtifactError(f"{self.path} changed {_ATTEMPTS} times while it was read; compact it less often")

    def publish(self, part: Part) -> str:
        """Write a part durably under its final name, in one step, and return the name.

        :raises ArtifactError: full disk, no permission; nothing that a reader would see is left behind.
        """
        name, data = encode_part(self.key, part)
        write_bytes_atomically(self.path / name, data)
        return name

    def reread(self, name: PartName) -> Part | None:
        """Return a part as it is on the disk now; None where it is gone or unreadable."""
        self._read.pop(name.text, None)
        try:
            return self._part(name)
        except FileNotFoundError:
            return None

    def delete(self, names: Collection[str]) -> int:
        """Delete parts and return how many were still there; another compaction may be at it too."""
        deleted = 0
        for name in names:
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
                deleted += 1
        return deleted

    def age(self, name: str) -> timedelta | None:
        """Return how long ago a part was published; None where it is gone."""
        try:
            return timedelta(seconds=time.time() - (self.path / name).stat().st_mtime)
        except FileNotFoundError:
            return None

    def delete_leftovers(self) -> int:
        """Delete the temporary files of writers that died, and return how many."""
        old = [path.name for path in self._temporary() if (self.age(path.name) or timedelta(0)) > _LEFTOVER_AGE]
        return self.delete(old)

    def _temporary(self) -> Iterator[Path]:
        return self.path.glob(".*.tmp")

    def _present(self, names: list[PartName]) -> dict[str, Part]:
        compacted = {name.text: self._part(name) for name in names if name.compacted}
        replaced = {text for part in compacted.values() if part for text in part.replaces}
        found = compacted | {
            name.text: self._part(name) for name in names if not name.compacted and name.text not in replaced
        }
        return {text: part for text, part in found.items() if part is not None and text not in replaced}

    def _part(self, name: PartName) -> Part | None:
        if name.text in self._read:
            return self._read[name.text]
        path = self.path / name.text
        try:
            self._read[name.text] = part = decode_part(name, path.read_bytes(), self.key)
        except FileNotFoundError:
            raise
        except UnreadablePart as error:
            self._name_unreadable(name.text, str(error))
            return None
        except OSError as error:
            raise ArtifactError(f"cannot read {path} ({error.strerror}); mend its permissions") from None
        return part

    def _name_unreadable(self, name: str, reason: str) -> None:
        if name not in self._unreadable:
            _log.warning("history part %s is skipped: %s", self.path / name, reason)
        self._unreadable[name] = reason

    def _forget_all_but(self, names: set[str]) -> None:
        self._read = {name: part for name, part in self._read.items() if name in names}
        self._unreadable = {name: reason for name, reason in self._unreadable.items() if name in names}
