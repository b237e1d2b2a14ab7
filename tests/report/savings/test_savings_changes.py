"""Savings follow from the files as they are now, and reading them changes nothing."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.records import make_record
from tests.support.savings import decided, nightly, savings_of, waited_until_start, write_training


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for day in (1, 2, 3):
        write_training(tmp_path, f"nightly/{day}", nightly(day), baseline=make_record())
    return tmp_path


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def miss_the_deadline(root: Path) -> None:
    at = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
    with (root / "runs/nightly/1/decisions.jsonl").open("a") as file:
        file.write(json.dumps(decided("run", at, at)) + "\n")


def rewrite_behind_the_same_time_and_size(root: Path) -> None:
    record = root / "runs/nightly/1/record.json"
    kept = record.stat()
    text = record.read_text()
    with record.open("r+") as file:
        file.write(text.replace('"zone": "GB"', '"zone": "DE"'))
    os.utime(record, ns=(kept.st_atime_ns, kept.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new run": lambda root: write_training(root, "nightly/4", nightly(4)),
    "a settled record": lambda root: write_training(root, "nightly/1", nightly(1, grid_gco2eq_per_kwh=50.0)),
    "a renewed report": lambda root: write_training(root, "nightly/1", nightly(1), baseline=make_record(gpu_kwh=0.02)),
    "a report that is gone": lambda root: (root / "reports/nightly/1/report.json").unlink(),
    "a record that is gone": lambda root: (root / "runs/nightly/1/record.json").unlink(),
    "decisions": miss_the_deadline,
    "a training that replaced another": lambda root: write_training(root, "nightly/1/finished-1", nightly(9)),
    "a record of the same size and time": rewrite_behind_the_same_time_and_size,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(root: Path, change: str) -> None:
    before = savings_of(root)
    CHANGES[change](root)
    assert savings_of(root) != before


def test_reading_writes_nothing_and_gives_the_same_again(root: Path) -> None:
    before = files(root)
    first = savings_of(root)
    assert savings_of(root) == first
    assert files(root) == before


def test_a_root_without_any_run_is_empty(tmp_path: Path) -> None:
    found = savings_of(tmp_path / "nothing")
    assert (found.groups, found.left_out, found.runs) == ((), (), ())


def test_a_wait_that_is_not_over_is_left_out_until_its_run_has_a_record(root: Path) -> None:
    record = nightly(8)
    write_training(root, "nightly/8", None, decisions=waited_until_start(record)[:2])
    assert len(savings_of(root).left_out) == 1
    write_training(root, "nightly/8", record, decisions=waited_until_start(record))
    found = savings_of(root)
    assert (len(found.left_out), found.runs[-1].waited) == (0, True)
