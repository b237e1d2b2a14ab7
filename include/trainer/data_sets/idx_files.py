"""A data set of four idx files on disk, in ``<root>/<folder>/raw``: verified, and fetched where they are missing."""

import errno
import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.errors import DataSetError
from include.trainer.data_sets.folder import DATA_DIR_VARIABLE
from include.trainer.data_sets.mnist_sources import Source, SourceFailed

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
