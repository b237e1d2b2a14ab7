"""Where runs keep their files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ArtifactError
from include.pipeline.run_folder import RunFolder, path_name, report_folder


@given(st.text(min_size=1))
def test_no_identifier_leaves_its_folder(identifier):
    name = path_name(identifier)
    assert "/" not in name
    assert not name.startswith(".")
    assert name


def test_a_run_id_of_airflow_stays_readable(tmp_path):
    folder = RunFolder.of_run(tmp_path, "carbon_aware_retraining", "manual__2026-03-01T22:00:00.5+00:00")
    assert folder.path == tmp_path / "runs/carbon_aware_retraining/manual__2026-03-01T22_00_00.5+00_00"
    assert report_folder(tmp_path, "d", "..") == tmp_path / "reports/d/_.."


def test_a_finished_run_is_set_aside_and_an_unfinished_one_is_continued(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.set_finished_run_aside()
    folder.ledger.write_text("{}\n")
    folder.set_finished_run_aside()
    assert folder.ledger.exists()  # no record yet: an earlier attempt failed, its energy still counts
    folder.record.write_text("{}")
    folder.set_finished_run_aside()
    assert not folder.ledger.exists()
    assert (folder.path / "finished-1" / "ledger.jsonl").read_text() == "{}\n"
    folder.record.write_text("{}")
    folder.set_finished_run_aside()
    assert (folder.path / "finished-2" / "record.json").exists()


def test_decisions_are_appended_one_a_line(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.append_decisions([{"n": 1}])
    folder.append_decisions([{"n": 2}, {"n": 3}])
    assert [json.loads(line)["n"] for line in folder.decisions.read_text().splitlines()] == [1, 2, 3]


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="artifacts_root must be a folder that this worker can write"):
        RunFolder(tmp_path / "file" / "run").create()
