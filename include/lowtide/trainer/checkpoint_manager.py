"""The folder of a training's checkpoints, their manifests, and what must be equal for a training to resume from one."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lowtide.config.schema import TrainingConfig
from lowtide.errors import ArtifactError, CheckpointDamaged

FORMAT_VERSION: Final = 1


class Manifest(BaseModel):
    """Describes a checkpoint; small, and readable without PyTorch.

    ``sha256`` and ``size_bytes`` are the state file's, ``checksum`` is this manifest's own. ``versions`` is what the bits depend
    on beside the configuration: device, PyTorch, number of threads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    run_id: str
    training_id: str
    number: Annotated[int, Field(ge=1)]
    optimizer_step: Annotated[int, Field(ge=0)]
    epoch: Annotated[int, Field(ge=0, description="counted from 0; equal to the epochs when the training is complete")]
    micro_batch_size: Annotated[int, Field(ge=1, description="at that time: chosen by auto, or halved since the start")]
    written_at: AwareDatetime
    file: Annotated[str, Field(pattern=r"^[^/]+\.pt$")]
    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, Any]
    versions: dict[str, str]
    checksum: str = ""

    @property
    def name(self) -> str:
        """The manifest's file name."""
        return f"checkpoint-{self.number:06d}.json"

    def sealed(self) -> Self:
        """Return the manifest with its checksum."""
        return self.model_copy(update={"checksum": self._own_checksum()})

    def _own_checksum(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"checksum"}).encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read a manifest.

        :param name: of the file, for the error message.
        :raises CheckpointDamaged: torn or altered.
        :raises ArtifactError: of a later format, which this version of Lowtide does not know.
        """
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            problems = error.errors(include_url=False)
            version = next((problem["input"] for problem in problems if problem["loc"] == ("format_version",)), 0)
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise ArtifactError(
                    f"{name} has format_version {version}, but this Lowtide reads up to {FORMAT_VERSION}; resume with the"
                    " version that wrote it, or start over with fresh"
                ) from None
            first = problems[0]
            where = ".".join(str(part) for part in first["loc"]) or "its JSON"
            raise CheckpointDamaged(f"{name} cannot be used: {where}: {first['msg']}") from error
        if found.checksum != found._own_checksum():
            raise CheckpointDamaged(f"{name} was altered: its own checksum does not fit")
        return found


_NUMBER = re.compile(r"checkpoint-(\d{6,})[.-]")
_UNFINISHED = ".tmp"
DAMAGED = ".damaged"


@dataclass(frozen=True, slots=True)
class CheckpointManager:
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
            raise ArtifactError(f"cannot read {self.path} ({error.strerror}); repair it, then try again") from error

    def manifest(self, name: str) -> Manifest:
        """Read one manifest and check the size of its state file.

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
        """Return the newest manifest that is whole; its state's checksum is checked only when it is loaded.

        :raises ArtifactError: one cannot be read now, or is of a later format.
        """
        for name in self.names():
            with contextlib.suppress(CheckpointDamaged):
                return self.manifest(name)
        return None

    def next_number(self) -> int:
        """Return a number above all that were used here."""
        return 1 + max(map(_number_of, self._all_names()), default=0)

    def set_aside(self, name: str) -> None:
        """Rename a damaged manifest, so that it no longer counts as one of those that are kept."""
        with contextlib.suppress(OSError):  # a read-only folder must not stop the training
            (self.path / name).rename(self.path / (name + DAMAGED))

    def prune(self, keep: int) -> None:
        """Delete all but the newest checkpoints, and half-written files of killed processes. Call it after a save.

        A manifest that cannot be read is kept, with the state of its number: it may be whole. It is not counted.
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
    """Return the error for a file that cannot be read now, though it may be whole."""
    first = (str(error).splitlines() or [""])[0]
    return ArtifactError(
        f"{path} cannot be read now ({type(error).__name__}: {first}); it was not changed: repair the storage, the"
        " permissions or the memory and try again, or start over with fresh"
    )


def _number_of(name: str) -> int:
    found = _NUMBER.match(name)
    return int(found.group(1)) if found else 0


_IGNORED = {"device", "loader_workers", "environment", "checkpoint_interval", "checkpoint_steps", "stall_timeout"}
"""What may change between two attempts: where it runs, and how often it saves; neither is part of what is trained."""
_SHOWN = 60


def fingerprint(training: TrainingConfig) -> dict[str, Any]:
    """Return the part of a configuration that decides what is trained, as JSON values."""
    return training.model_dump(mode="json", exclude=_IGNORED)


def first_difference(before: Any, now: Any, key: str) -> str | None:
    """Return the first difference between two JSON values in words, ``training.seed was 0 and is 1 now``; None if equal.

    :param key: the dotted name of what is compared.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = [*before, *(name for name in now if name not in before)]
        found = (first_difference(before.get(name), now.get(name), f"{key}.{name}" if key else name) for name in names)
        return next((difference for difference in found if difference), None)
    return None if before == now else f"{key} was {_shown(before)} and is {_shown(now)} now"


def _shown(value: Any) -> str:
    text = "not set" if value is None else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
