"""Where runs keep their files."""

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.errors import ArtifactError
from lowtide.runs.folder import RunFolder, path_name, report_folder


@given(st.text(min_size=1))
def test_no_identifier_leaves_its_folder(identifier):
    name = path_name(identifier)
    assert "/" not in name
    assert not name.startswith(".")
    assert name


def test_a_run_id_of_airflow_stays_readable(tmp_path):
    folder = RunFolder.of_run(tmp_path, "carbon_aware_retraining", "manual__2026-03-01T22:00:00.5+00:00")
    assert folder.path.parent == tmp_path / "runs/carbon_aware_retraining"
    assert folder.path.name.startswith("manual__2026-03-01T22_00_00.5+00_00-")
    assert report_folder(tmp_path, "d", "..").name.startswith("_..-")


def test_identifiers_that_differ_never_share_a_folder():
    names = {path_name(identifier) for identifier in ("a:b", "a_b", "a~b", "a/b", ".a", "_.a")}
    assert len(names) == 6
    assert "a_b" in names  # what is safe stays as it is


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 100))
def test_an_instance_of_a_mapped_task_shares_its_folder_with_no_run(one, two, index):
    root = PurePosixPath("a")
    mapped = RunFolder.of_run(root, "d", one, index)
    assert mapped.path.parent == RunFolder.of_run(root, "d", one).path.parent  # as deep: what looks for runs finds it
    assert mapped != RunFolder.of_run(root, "d", two)
    assert mapped != RunFolder.of_run(root, "d", one, index + 1)


def test_decisions_are_appended_one_a_line(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.append_decisions([{"n": 1}])
    folder.append_decisions([{"n": 2}, {"n": 3}])
    assert [json.loads(line)["n"] for line in folder.decisions.read_text().splitlines()] == [1, 2, 3]


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="artifacts_root must be a folder that this worker can write"):
        RunFolder(tmp_path / "file" / "run").create()


def test_a_line_that_a_killed_worker_tore_is_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.resumed_from() == {}
    folder.note_attempt({"attempt": 2, "optimizer_step": 7})
    folder.note_attempt({"attempt": 3, "optimizer_step": 9})
    folder.attempts.write_text(folder.attempts.read_text() + '{"attempt": 4, "opt')
    assert folder.resumed_from() == {2: 7, 3: 9}


def test_what_attempts_warned_of_is_kept_in_order_and_once(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.warnings() == ()
    for attempt, warning in ((1, "memory ran out"), (1, "no fused optimizer"), (2, "memory ran out")):
        folder.note_attempt({"attempt": attempt, "warning": warning})
    folder.note_attempt({"attempt": 2, "optimizer_step": 7})
    assert folder.warnings() == ("memory ran out", "no fused optimizer")
    assert folder.resumed_from() == {2: 7}
