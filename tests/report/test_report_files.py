"""Reading records and writing reports, with every way in which a path can be wrong."""

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from lowtide.errors import ArtifactError
from lowtide.io import write_atomically
from lowtide.records import load_record
from lowtide.report.compare import write_report
from lowtide.report.model import Report
from lowtide.report.text import render_markdown

from tests.support.comparisons import compared, waiting_run
from tests.support.records import make_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "record.json").write_text(waiting_run().model_dump_json(), encoding="utf-8")
    return tmp_path


def changed(folder: Path, **changes: Any) -> Path:
    file = folder / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return folder


def sentence(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_record(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_record_is_read_from_its_folder_or_its_file(folder: Path) -> None:
    assert load_record(folder) == waiting_run() == load_record(folder / "record.json")


def test_a_missing_record_is_one_sentence(tmp_path: Path) -> None:
    assert "there is no such record; give the folder of a finished run" in sentence(tmp_path)
    assert "there is no such record" in sentence(tmp_path / "nowhere")


def test_a_path_below_a_file_is_one_sentence(folder: Path) -> None:
    assert "there is no such record" in sentence(folder / "record.json" / "deeper")


def test_a_folder_in_the_records_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    assert "cannot be read (Is a directory)" in sentence(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": "1.0",', b"\xff\xfe\x00", b"[" * 200_000])
def test_a_damaged_record_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    assert "is not JSON" in sentence(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_json_that_is_no_object_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content, encoding="utf-8")
    assert "is not a training record but a JSON" in sentence(tmp_path)


@pytest.mark.parametrize("version", ["1.1", None, 2.0])
def test_another_schema_version_is_refused_naming_both(folder: Path, version: object) -> None:
    said = sentence(changed(folder, schema_version=version))
    assert f"schema_version is {version!r}" in said
    assert "reads '2.0'" in said


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"samples": -1}, "samples"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"emissions_gco2eq": float("nan")}, "emissions_gco2eq"),
        ({"submitted_at": "2026-03-01T20:00:00"}, "submitted_at"),
    ],
)
def test_a_field_that_no_record_has_is_named(folder: Path, changes: dict[str, Any], key: str) -> None:
    assert f"is not a training record: {key}: " in sentence(changed(folder, **changes))


def test_a_report_is_written_whole_and_reads_back_equal(tmp_path: Path) -> None:
    report = compared(make_record(), waiting_run())
    paths = write_report(report, tmp_path / "deep" / "er")
    assert Report.model_validate_json(paths["report.json"].read_text(encoding="utf-8")) == report
    assert paths["report.md"].read_text(encoding="utf-8") == render_markdown(report)
    assert sorted(p.name for p in paths["report.json"].parent.iterdir()) == ["report.html", "report.json", "report.md"]


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    write_report(compared(None, waiting_run()), tmp_path)
    again = compared(make_record(), waiting_run())
    assert Report.model_validate_json(write_report(again, tmp_path)["report.json"].read_bytes()) == again


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        write_report(compared(None, waiting_run()), tmp_path / "file" / "report")
    assert str(caught.value).startswith(f"cannot write {tmp_path}/file/report/report.html: Not a directory; ")
    assert "the artifact root must be visible to this worker" in str(caught.value)


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "report.json", '{"old": 1}\n')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel stops the write, as a full disk would
    try:
        with pytest.raises(ArtifactError, match=r"cannot write .*report\.json: File too large"):
            write_atomically(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text(encoding="utf-8") == '{"old": 1}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_follow_the_umask_so_that_others_may_read_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = write_atomically(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
