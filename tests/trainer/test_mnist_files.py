"""MNIST on disk: verified, fetched once, from a real server."""

import gzip
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lowtide.errors import DataSetError
from lowtide.trainer.mnist import (
    SHA256_OF_FILE,
    Fetch,
    SourceFailed,
    ensure_mnist,
    fetch_from_mirror,
    main,
    rebuild_idx,
    wrong_files,
)

NAMES = tuple(SHA256_OF_FILE)


class MirrorServer(ThreadingHTTPServer):
    """Serves gzipped files and counts who asked for what."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.files = files
        self.asked: Counter[str] = Counter()

    @property
    def mirror(self) -> Fetch:
        return partial(fetch_from_mirror, f"http://127.0.0.1:{self.server_port}/mnist/")


class MirrorHandler(BaseHTTPRequestHandler):
    server: MirrorServer

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked[name] += 1
        body = self.server.files.get(name)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""


@pytest.fixture(scope="module")
def packed(mnist_root: Path) -> dict[str, bytes]:
    raw = mnist_root / "MNIST" / "raw"
    return {f"{name}.gz": gzip.compress((raw / name).read_bytes(), compresslevel=1) for name in NAMES}


@pytest.fixture
def server(packed: dict[str, bytes]) -> Iterator[MirrorServer]:
    with MirrorServer(dict(packed)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield server
        server.shutdown()


def fetch(root: str, mirror: Fetch) -> None:
    ensure_mnist(Path(root), report=print, sources={"the test's mirror": mirror})


def test_two_processes_at_once_fetch_once_and_both_get_the_files(server: MirrorServer, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=fetch, args=(str(tmp_path), server.mirror)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert not wrong_files(tmp_path / "MNIST" / "raw")
    assert server.asked == Counter({f"{name}.gz": 1 for name in NAMES})
    assert sorted(path.name for path in (tmp_path / "MNIST").iterdir()) == ["fetch.lock", "raw"]


def test_a_damaged_file_is_noticed_and_fetched_again(server: MirrorServer, tmp_path: Path) -> None:
    fetch(str(tmp_path), server.mirror)
    labels = tmp_path / "MNIST" / "raw" / NAMES[3]
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0b")
    assert wrong_files(labels.parent) == [NAMES[3]]
    fetch(str(tmp_path), server.mirror)
    assert not wrong_files(labels.parent)


def test_a_source_without_a_file_or_with_a_damaged_one_is_passed_over(server: MirrorServer, tmp_path: Path) -> None:
    lines: list[str] = []
    with MirrorServer({}) as empty, MirrorServer({f"{NAMES[0]}.gz": b"not gzip"}) as damaged:
        for other in (empty, damaged):
            threading.Thread(target=other.serve_forever, args=(0.05,)).start()
        sources = {"empty": empty.mirror, "damaged": damaged.mirror, "whole": server.mirror}
        raw = ensure_mnist(tmp_path, report=lines.append, sources=sources)
        empty.shutdown()
        damaged.shutdown()
    assert not wrong_files(raw)
    assert "HTTP status 404" in lines[1]
    assert "is damaged" in lines[3]


def test_files_with_a_wrong_checksum_are_never_used(server: MirrorServer, tmp_path: Path) -> None:
    server.files[f"{NAMES[1]}.gz"] = server.files[f"{NAMES[3]}.gz"]
    with pytest.raises(DataSetError, match=rf"wrong checksum of {NAMES[1]}.*connect this machine to the network"):
        fetch(str(tmp_path), server.mirror)
    assert list((tmp_path / "MNIST" / "raw").iterdir()) == []


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    with MirrorServer({}) as closed:
        mirror = closed.mirror
    with pytest.raises(DataSetError, match=r"cannot be reached.*copy the four uncompressed idx files there") as caught:
        fetch(str(tmp_path), mirror)
    assert "\n" not in str(caught.value)


def write_to_a_full_disk(folder: Path, names: tuple[str, ...]) -> None:
    """Write where the kernel always reports that the disk is full."""
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"pixels")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"the disk is full: MNIST needs about 250 MB.*LOWTIDE_DATA_DIR"):
        ensure_mnist(tmp_path, report=print, sources={"a full disk": write_to_a_full_disk})


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataSetError, match=r"cannot be kept in .*Not a directory"):
        ensure_mnist(tmp_path / "file", report=print, sources={})


def test_csv_rows_become_the_canonical_bytes(mnist_root: Path, tmp_path: Path) -> None:
    """The first 50 images, written as the package holds them and rebuilt."""
    raw = mnist_root / "MNIST" / "raw"
    images, labels = (raw / NAMES[2]).read_bytes(), (raw / NAMES[3]).read_bytes()
    rows = tmp_path / "mnist_test.csv"
    with rows.open("w") as file:
        for number in range(50):
            pixels = images[16 + number * 784 : 16 + (number + 1) * 784]
            file.write(",".join(map(str, (labels[8 + number], *pixels))) + "\n")
    with rows.open("rb") as source:
        rebuild_idx(source, tmp_path / "images", tmp_path / "labels")
    fifty = (50).to_bytes(4, "big")
    assert (tmp_path / "images").read_bytes() == images[:4] + fifty + images[8 : 16 + 50 * 784]
    assert (tmp_path / "labels").read_bytes() == labels[:4] + fifty + labels[8 : 8 + 50]


@pytest.mark.parametrize("row", [b"3,256\n", b"3,1,2\n", b"label,pixel\n3,x\n"])
def test_rows_that_are_not_mnist_are_refused(tmp_path: Path, row: bytes) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(row)
    with rows.open("rb") as source, pytest.raises(SourceFailed, match=r"row [12]"):
        rebuild_idx(source, tmp_path / "images", tmp_path / "labels")


def test_the_command_finds_files_that_are_there(mnist_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(mnist_root)]) == 0
    assert capsys.readouterr().out.strip() == f"MNIST: ready in {mnist_root / 'MNIST' / 'raw'}"


def test_the_command_fails_with_status_2_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([os.fspath(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
