"""The index saves reading, and is never believed where it could be wrong."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lowtide.report.savings import savings_folder
from lowtide.report.savings_model import Savings

from tests.support.records import make_record
from tests.support.savings import NOW, decided, nightly, savings_of, waited_until_start, write_training


def index_of(root: Path) -> Path:
    return savings_folder(root) / "index.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for day in (1, 2, 3):
        write_training(tmp_path, f"nightly/{day}", nightly(day), baseline=make_record())
    savings_of(tmp_path)
    return tmp_path


def from_scratch(root: Path) -> Savings:
    index_of(root).unlink()
    return savings_of(root)


def append_decision(root: Path) -> None:
    with (root / "runs/nightly/1/decisions.jsonl").open("a") as file:
        file.write('{"action": "run", "decided_at": "2026-03-01T22:00:00Z", "deadline": "2026-03-01T22:00:00Z"}\n')


def rewrite_in_place(root: Path) -> None:
    record = root / "runs/nightly/1/record.json"
    kept = record.stat()
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 7'))
    os.utime(record, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new run": lambda root: write_training(root, "nightly/4", nightly(4)),
    "a settled record": lambda root: write_training(root, "nightly/1", nightly(1, grid_gco2eq_per_kwh=50.0)),
    "a renewed report": lambda root: write_training(root, "nightly/1", nightly(1), baseline=make_record(gpu_kwh=0.02)),
    "a report that is gone": lambda root: (root / "reports/nightly/1/report.json").unlink(),
    "a record that is gone": lambda root: (root / "runs/nightly/1/record.json").unlink(),
    "decisions": append_decision,
    "a training that replaced another": lambda root: write_training(root, "nightly/1/finished-1", nightly(9)),
    "a record rewritten in place with as many bytes": rewrite_in_place,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_seen_as_if_all_were_read_anew(root: Path, change: str) -> None:
    CHANGES[change](root)
    assert savings_of(root) == from_scratch(root)


def test_a_run_that_goes_on_is_not_read_at_each_of_its_rows(root: Path) -> None:
    folder = write_training(root, "nightly/9", None, decisions=[decided("run", NOW)])
    ledger = folder / "ledger.jsonl"
    ledger.write_text("one\n")
    savings_of(root)
    before = index_of(root).stat()
    ledger.write_text("one\ntwo\n")
    savings_of(root)
    assert index_of(root).stat().st_ino == before.st_ino


def test_what_has_not_changed_is_not_read_again(root: Path) -> None:
    """A record whose bytes change behind an unchanged inode, size and time: what only a look into it would notice."""
    record = root / "runs/nightly/1/record.json"
    kept = record.stat()
    text = record.read_text()
    with record.open("r+") as file:
        file.write(text.replace('"zone": "GB"', '"zone": "DE"'))
    os.utime(record, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert savings_of(root).runs[0].zone == "GB"
    assert from_scratch(root).runs[0].zone == "DE"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"code": "x"}', "\x00" * 100, "null"])
def test_a_damaged_index_is_built_anew(root: Path, damage: str) -> None:
    before = savings_of(root)
    index_of(root).write_text(damage)
    assert savings_of(root) == before
    assert len(index_of(root).read_text()) > len(damage)


def test_an_index_of_other_code_or_other_settings_is_not_believed(root: Path) -> None:
    good = index_of(root).read_text()
    before = savings_of(root)
    for old, new in (
        ('"code":"', '"code":"0'),
        ('"percent":3.0', '"percent":99.0'),
        ('"for_all":false', '"for_all":true'),
    ):
        assert old in good
        index_of(root).write_text(good.replace(old, new).replace('"zone":"GB"', '"zone":"XX"'))
        assert savings_of(root) == before


def test_who_verifies_need_not_take_the_indexs_word(root: Path) -> None:
    """An edited index is believed like the cache that it is; an auditor's figures come from the records."""
    honest = savings_of(root, verify=True)
    good = index_of(root).read_text()
    index_of(root).write_text(re.sub(r'"avoided_by_waiting_gco2eq":0\.\d+', '"avoided_by_waiting_gco2eq":999.0', good))
    assert savings_of(root).groups[0].total.avoided_by_waiting_gco2eq == 3 * 999.0
    assert savings_of(root, verify=True) == honest
    assert savings_of(root).groups == honest.groups  # and the index is mended


def test_an_index_that_cannot_be_written_costs_nothing_but_time(root: Path) -> None:
    before = savings_of(root)
    index_of(root).unlink()
    savings_folder(root).rmdir()
    savings_folder(root).write_text("in the way")
    assert savings_of(root) == before


def test_a_root_without_any_run_is_empty(tmp_path: Path) -> None:
    found = savings_of(tmp_path / "nothing")
    assert (found.groups, found.left_out, found.runs) == ((), (), ())


def test_a_wait_that_is_not_over_yet_is_looked_at_again(root: Path) -> None:
    record = nightly(8)
    write_training(root, "nightly/8", None, decisions=waited_until_start(record)[:2])
    assert len(savings_of(root).left_out) == 1
    write_training(root, "nightly/8", record, decisions=waited_until_start(record))
    found = savings_of(root)
    assert (len(found.left_out), found.runs[-1].waited) == (0, True)
