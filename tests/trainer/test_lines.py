"""Lines from a pipe and from the end of a file."""

import os
import time
from pathlib import Path

from lowtide.trainer.child_process import LineReader, last_lines


def test_lines_come_out_whole_however_they_went_in() -> None:
    read_fd, write_fd = os.pipe()
    reader = LineReader(read_fd)
    for piece in (b"on", b"e\ntwo\nthr", b"ee\n", "caf\u00e9\n".encode(), b"\xff\n"):
        os.write(write_fd, piece)
    assert [reader.next_line(0.1) for _ in range(5)] == ["one", "two", "three", "caf\u00e9", "\ufffd"]
    os.close(write_fd)
    reader.close()


def test_half_a_line_of_a_killed_writer_is_not_given_out() -> None:
    read_fd, write_fd = os.pipe()
    reader = LineReader(read_fd)
    os.write(write_fd, b"whole\nhal")
    os.close(write_fd)
    assert [reader.next_line(0.05), reader.next_line(0.05)] == ["whole", None]
    reader.close()


def test_waiting_for_a_line_takes_the_time_given() -> None:
    read_fd, write_fd = os.pipe()
    reader = LineReader(read_fd)
    started_s = time.monotonic()
    assert reader.next_line(0.2) is None
    assert 0.15 < time.monotonic() - started_s < 1
    os.close(write_fd)
    reader.close()


def test_the_last_lines_are_those_behind_the_offset(tmp_path: Path) -> None:
    """An earlier attempt's lines in the same log are not this one's last words."""
    log = tmp_path / "training.log"
    log.write_text("first attempt\n")
    offset = log.stat().st_size
    assert last_lines(log, start=offset, count=20) == []
    with log.open("a") as file:
        file.write("".join(f"line {number}\n\n" for number in range(10_000)))
    assert last_lines(log, start=offset, count=2) == ["line 9998", "line 9999"]
    assert last_lines(tmp_path / "nothing", start=0, count=2) == []
