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
        try:
            found = [path.name for path in self.path.glob("checkpoint-*.json")]
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path} ({error.strerror}); mend its permissions") from error
        return sorted((name for name in found if _NUMBER.match(name)), key=_number_of, reverse=True)

    def manifest(self, name: str) -> Manifest:
        """Read one manifest and see that its state file has the right size.

        :raises CheckpointDamaged: torn, altered, or without its state.
        """
        try:
            found = Manifest.parse((self.path / name).read_text(encoding="utf-8"), name)
            size = (self.path / found.file).stat().st_size
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointDamaged(f"{name} cannot be read ({error})") from error
        if size != found.size_bytes:
            raise CheckpointDamaged(f"{found.file} has {size} bytes, its manifest says {found.size_bytes}")
        return found

    def newest(self) -> Manifest | None:
        """Return the newest manifest that is whole; its state's checksum is only seen when it is loaded."""
        for name in self.names():
            with contextlib.suppress(CheckpointDamaged):
                return self.manifest(name)
        return None

    def next_number(self) -> int:
        """Return a number above all that were ever used here."""
        used = (_NUMBER.match(path.name) for path in self.path.glob("checkpoint-*"))
        return 1 + max((int(found.group(1)) for found in used if found), default=0)

    def set_aside(self, name: str) -> None:
        """Rename a damaged manifest, so that it no longer counts as one of those that are kept."""
        with contextlib.suppress(OSError):  # a folder that cannot be written has no say in whether a training goes on
            (self.path / name).rename(self.path / (name + DAMAGED))

    def prune(self, keep: int) -> None:
        """Delete all but the newest checkpoints, and what killed processes left half-written. Call it after a save."""
        with contextlib.suppress(OSError):  # what cannot be deleted now is deleted after the next save
            names = self.names()
            for name in names[keep:]:  # the manifest first: a state without one does not count
                (self.path / name).unlink()
            kept = self._states_of(names[:keep])
            for path in self.path.iterdir():
                if path.name.endswith(_UNFINISHED) or (path.suffix == ".pt" and path.name not in kept):
                    path.unlink()

    def _states_of(self, names: list[str]) -> set[str]:
        found = set()
        for name in names:
            with contextlib.suppress(CheckpointDamaged):
                found.add(self.manifest(name).file)
        return found


def _number_of(name: str) -> int:
    found = _NUMBER.match(name)
    return int(found.group(1)) if found else 0
