"""Files that outlive a crash: written whole or not at all, appended line by line, held by one process at a time."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lowtide.errors import ArtifactError, LedgerInUse

_LOCK_RETRY_S = 0.1


def write_atomically(path: Path, content: str | bytes, *, keep_times: bool = False) -> Path:
    """Write beside the target, fsync and rename over the target; create missing folders. Text is written in UTF-8.

    A reader never sees half of it.

    :param keep_times: whether the new file has the old one's time of change.
    :raises ArtifactError: full disk, no permission, not a folder; an older file at ``path`` is then still whole.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # not mkstemp: its mode 0600 would hide the report from the web server's user
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            if keep_times:
                kept = path.stat()
                os.utime(file.fileno(), ns=(kept.st_atime_ns, kept.st_mtime_ns))
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; the artifact root must be visible to this worker"
            " and have room"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone after the rename; after a failure the half-written file must go
            temporary.unlink()
    return path


def append_durably(path: Path, content: bytes) -> None:
    """Append bytes and fsync them.

    :raises OSError: the file cannot be written.
    """
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names of a folder's files survive a power failure, not only their content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json_lines(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; a missing file has none. Damage is added to ``problems``, the rest is read."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{path} cannot be read here ({error.strerror or error})")
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            yield data
        else:
            problems.append(f"{path}, line {number}: is torn or not JSON, and is left out")


def open_held(path: Path, flags: int, *, timeout_s: float = 0.0) -> int:
    """Open a ledger that no other process holds and return its descriptor; closing it releases the ledger.

    :param timeout_s: how long to wait for another process; a settlement takes seconds, a training hours.
    :raises LedgerInUse: another process holds it still.
    :raises OSError: the file cannot be opened.
    """
    until_s = time.monotonic() + timeout_s
    while True:
        file = os.open(path, flags, 0o644)
        try:
            # a worker taken for dead and its retry must not interleave their rows
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):  # else rows would go into a file that has lost its name
                return file
            problem = "another process has just replaced this ledger; try again"
        except BlockingIOError:
            problem = "another process writes to this ledger; wait for it, or end it"
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if time.monotonic() >= until_s:
            raise LedgerInUse(f"{path}: {problem}")
        time.sleep(_LOCK_RETRY_S)


@contextlib.contextmanager
def hold_ledger(path: Path, *, timeout_s: float = 0.0) -> Iterator[None]:
    """Keep other writers from a ledger that exists, without opening it to append.

    :raises LedgerInUse: another process writes to it.
    :raises ArtifactError: the file cannot be opened.
    """
    # over NFS an exclusive lock needs a file that is open for writing
    flags = os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY
    try:
        file = open_held(path, flags, timeout_s=timeout_s)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be opened ({error.strerror}); check the path and its permissions"
        ) from error
    try:
        yield
    finally:
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
