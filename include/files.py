"""Writes a small file so that a reader never sees half of it, and so that it outlives a power cut."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from include.errors import ArtifactError


def write_atomically(path: Path, text: str) -> Path:
    """Write UTF-8 text as ``write_bytes_atomically`` does.

    :raises ArtifactError: the file cannot be written.
    """
    return write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, data: bytes, *, before_rename: Callable[[Path], object] | None = None) -> Path:
    """Write bytes beside the target, fsync them and rename them over the target; create missing folders.

    :param before_rename: called with the file that is about to take the target's name, to lock it for example.
    :raises ArtifactError: full disk, no permission, not a folder; an older file at ``path`` is then still whole.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_durably(temporary, data)
        if before_rename is not None:
            before_rename(temporary)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; the artifact root must be visible to this worker"
            " and have room"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone after the rename; after a failure the half-written file must go
            temporary.unlink()
    return path


def write_json_atomically(path: Path, text: str) -> Path:
    """Write JSON text with a final newline, as ``write_atomically`` does.

    :raises ArtifactError: the file cannot be written.
    """
    return write_atomically(path, text.rstrip("\n") + "\n")


def _write_durably(path: Path, data: bytes) -> None:
    # not mkstemp: its mode 0600 would hide the report from the web server's user
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
