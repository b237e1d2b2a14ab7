"""The folder of a training's checkpoints: what is there, what counts, and what may go."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from include.errors import ArtifactError, CheckpointDamaged
from include.trainer.checkpoint.manifest import Manifest

_NUMBER = re.compile(r"checkpoint-(\d{6,})[.-]")
_UNFINISHED = ".tmp"
DAMAGED = ".damaged"


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Checkpoints are numbered in the order in which they were written; the highest number is the newest."""

    path: Path

    def names(self) -> list[str]:
        """Return the manifests' file names, the newest first.

        :raises ArtifactError: the folder cannot be read.
        """
        found = [name for name in self._all_names() if name.endswith(".json") and _NUMBER.match(name)]
        return sorted(found, key=_number_of, reverse=True)

    def _all_names(self) -> list[str]:
        try:  # not glob, which takes a folder that cannot be read for an empty one
            return [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path} ({error.strerror}); mend it, then try again") from error

    def manifest(self, name: str) -> Manifest:
        """Read one manifest and see that its state file has the right size.

        :raises CheckpointDamaged: torn, altered, or without its state.
        :raises ArtifactError: it cannot be read now, or is of a later format: it may be whole.
        """
        try:
            found = Manifest.parse((self.path / name).read_text(encoding="utf-8"), name)
            size = (self.path / found.file).stat().st_size
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise CheckpointDamaged(f"{name} cannot be read ({error})") from error
        except OSError as error:
            raise unreadable(self.path / name, error) from error
        if size != found.size_bytes:
            raise CheckpointDamaged(f"{found.file} has {size} bytes, its manifest says {found.size_bytes}")
        return found

    def newest(self) -> Manifest | None:
        """Return the newest manifest that is whole; its state's checksum is only seen when it is loaded.

        :raises ArtifactError: one cannot be read now, or is of a later format.
        """
        for name in self.names():
            with contextlib.suppress(CheckpointDamaged):
                return self.manifest(name)
        return None

    def next_number(self) -> int:
        """Return a number above all that were ever used here."""
        return 1 + max(map(_number_of, self._all_names()), default=0)

    def set_aside(self, name: str) -> None:
        """Rename a damaged manifest, so that it no longer counts as one of those that are kept."""
        with contextlib.suppress(OSError):  # a folder that cannot be written has no say in whether a training goes on
            (self.path / name).rename(self.path / (name + DAMAGED))

    def prune(self, keep: int) -> None:
        """Delete all but the newest checkpoints, and what killed processes left half-written. Call it after a save.

        A manifest that cannot be read stays, with the state of its number: it may be whole, and does not count.
        """
        with contextlib.suppress(OSError, ArtifactError):  # what cannot be deleted now is deleted after the next save
            whole, unread = self._sorted_out()
            for manifest in whole[keep:]:  # the manifest first: a state without one does not count
                (self.path / manifest.name).unlink()
            kept = {manifest.file for manifest in whole[:keep]}
            for name in self._all_names():
                superseded = name.endswith(".pt") and name not in kept and _number_of(name) not in unread
                if superseded or name.endswith(_UNFINISHED):
                    (self.path / name).unlink()

    def _sorted_out(self) -> tuple[list[Manifest], set[int]]:
        whole: list[Manifest] = []
        unread: set[int] = set()
        for name in self.names():
            try:
                whole.append(self.manifest(name))
            except (CheckpointDamaged, ArtifactError):
                unread.add(_number_of(name))
        return whole, unread


def unreadable(path: Path, error: BaseException) -> ArtifactError:
    """Return the sentence for a file that cannot be read now, which says nothing of whether it is whole."""
    first = (str(error).splitlines() or [""])[0]
    return ArtifactError(
        f"{path} cannot be read now ({type(error).__name__}: {first}); it was left as it is: mend the storage, the"
        " permissions or the memory and try again, or start over with fresh"
    )


def _number_of(name: str) -> int:
    found = _NUMBER.match(name)
    return int(found.group(1)) if found else 0
