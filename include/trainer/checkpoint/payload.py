"""The state file: written with a checksum on the way, read back only if it is the same, and never unpickled freely."""

import contextlib
import hashlib
import os
import pickle
from pathlib import Path
from typing import IO, Any

import torch

from include.errors import ArtifactError, CheckpointDamaged
from include.trainer.checkpoint.folder import unreadable
from include.trainer.checkpoint.manifest import Manifest

_CHUNK_BYTES = 1 << 20
State = dict[str, Any]


class _HashingWriter:
    """Passes on what is written and keeps its SHA-256; keeps the first error, which PyTorch would hide behind its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def write_state(state: State, folder: Path) -> tuple[Path, str, int]:
    """Write a state beside its place, on the disk before this returns; return its path, SHA-256 and size.

    :raises ArtifactError: full disk, no permission ...; nothing is left behind.
    """
    temporary = folder / f".state-{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sha256, size_bytes = _write(state, temporary)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ArtifactError(
            f"a checkpoint cannot be written to {folder} ({error.strerror or error}); free space or mend the permissions"
        ) from error
    return temporary, sha256, size_bytes


def _write(state: State, path: Path) -> tuple[str, int]:
    with path.open("wb") as file:
        writer = _HashingWriter(file)
        try:
            torch.save(state, writer)  # type: ignore[arg-type]  # only write and flush are used
        except RuntimeError:
            if writer.error is None:
                raise
        if writer.error is not None:
            raise writer.error
        file.flush()
        os.fsync(file.fileno())
    return writer.sha256, writer.size_bytes


def read_state(manifest: Manifest, folder: Path) -> State:
    """Read the state of a manifest, on the CPU.

    :raises CheckpointDamaged: it is not byte for byte what was written, or holds what must not be unpickled.
    :raises ArtifactError: the storage or the memory fails at the moment, which says nothing of the state.
    """
    path = folder / manifest.file
    try:
        _check(path, manifest)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointDamaged(f"{manifest.file} cannot be read ({type(error).__name__}: {first})") from error
    except (OSError, RuntimeError, MemoryError) as error:  # its checksum was right, or could not be told
        raise unreadable(path, error) from error
    if not isinstance(state, dict):
        raise CheckpointDamaged(f"{manifest.file} holds {type(state).__name__}, not a training's state")
    return state


def _check(path: Path, manifest: Manifest) -> None:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    if found.hexdigest() != manifest.sha256:
        raise CheckpointDamaged(f"{manifest.file} is damaged: its checksum is not the one in {manifest.name}")
