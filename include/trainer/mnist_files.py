"""Real MNIST on disk: four verified idx files in ``<root>/MNIST/raw``, fetched where they are missing.

``python -m include.trainer.mnist_files [ROOT]`` fetches them with progress lines.
"""

import errno
import fcntl
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from include.errors import DataSetError
from include.trainer.data_folder import DATA_DIR_VARIABLE, default_data_folder
from include.trainer.mnist_sources import SOURCES, Source, SourceFailed

MD5_OF_FILE = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 of the uncompressed canonical files: a check that the data are the real ones, not a defence."""

Report = Callable[[str], None]


def ensure_mnist(root: Path, *, report: Report, sources: Sequence[Source] = SOURCES) -> Path:
    """Return the folder of the verified idx files, fetching them first where they are missing or damaged.

    Safe under several processes at once: one fetches, the others wait for its lock. The files appear only when verified.

    :param sources: asked in this order, until one gives the right files.
    :raises DataSetError: no source could be reached, a wrong checksum, a full disk or a folder that cannot be written.
    """
    raw = root / "MNIST" / "raw"
    try:
        if is_complete(raw):  # before anything is written: the folder may be read-only
            return raw
        raw.mkdir(parents=True, exist_ok=True)
        with _lock(raw.parent / "fetch.lock"):
            if not is_complete(raw):  # another process may have fetched them while this one waited
                _fetch(raw, report, sources)
    except OSError as error:
        raise _disk_error(raw, error) from error
    return raw


def is_complete(raw: Path) -> bool:
    """Whether all four files are there with the right checksums."""
    return not _wrong_files(raw)


def _wrong_files(raw: Path) -> list[str]:
    return [name for name, md5 in MD5_OF_FILE.items() if _md5(raw / name) != md5]


def _md5(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it when the process dies, however it dies
        yield


def _fetch(raw: Path, report: Report, sources: Sequence[Source]) -> None:
    failures: list[str] = []
    for source in sources:
        # beside the goal, so that os.replace stays on one file system
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=raw.parent) as folder:
            try:
                report(f"MNIST: fetching from {source.name}")
                source.fetch(Path(folder), tuple(MD5_OF_FILE))
            except SourceFailed as error:
                report(f"MNIST: {source.name}: {error}")
                failures.append(f"{source.name}: {error}")
                continue
            wrong = _wrong_files(Path(folder))
            if wrong:
                failures.append(f"{source.name}: wrong checksum of {', '.join(wrong)}")
                report(f"MNIST: {failures[-1]}")
                continue
            for name in MD5_OF_FILE:
                (Path(folder) / name).replace(raw / name)
            report(f"MNIST: verified, in {raw}")
            return
    raise DataSetError(
        f"MNIST could not be fetched into {raw} ({'; '.join(failures)}); connect this machine to the network or copy the"
        " four uncompressed idx files there"
    )


def _disk_error(raw: Path, error: OSError) -> DataSetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataSetError(
            f"the disk is full: MNIST needs about 250 MB in {raw} while it is fetched (55 MB afterwards); free some"
            f" space or set {DATA_DIR_VARIABLE} to another folder"
        )
    return DataSetError(
        f"MNIST cannot be kept in {raw} ({error.strerror or error}); make the folder writable or set"
        f" {DATA_DIR_VARIABLE} to another folder"
    )


def main(arguments: list[str]) -> int:
    """Fetch into the folder named, or the default one; 0 when the files are there, 2 when they cannot be had."""
    root = Path(arguments[0]) if arguments else default_data_folder()
    try:
        raw = ensure_mnist(root, report=lambda line: print(line, flush=True))  # noqa: T201 a command: stdout is its output
    except DataSetError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(f"MNIST: ready in {raw}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
