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
    assert folder.path.parent == tmp_path / "runs/carbon_aware_retraining"
    assert folder.path.name.startswith("manual__2026-03-01T22_00_00.5+00_00-")
    assert report_folder(tmp_path, "d", "..").name.startswith("_..-")


def test_identifiers_that_differ_never_share_a_folder():
    names = {path_name(identifier) for identifier in ("a:b", "a_b", "a~b", "a/b", ".a", "_.a")}
    assert len(names) == 6
    assert "a_b" in names  # what is safe stays as it is


def test_progress_that_cannot_be_written_is_told_and_does_not_end_the_run(tmp_path, caplog):
    folder = RunFolder(tmp_path / "gone")
    folder.publish("progress.json", {"phase": "train"})
    assert "progress is not shown" in caplog.text


SAME, OTHER = {"configuration": "a"}, {"configuration": "b"}


def test_a_finished_run_is_set_aside_and_an_unfinished_one_is_continued(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(SAME)
    folder.ledger.write_text("{}\n")
    folder.begin(SAME)
    assert folder.ledger.exists()  # no record yet: an earlier attempt failed, its energy still counts
    folder.record.write_text("{}")
    folder.begin(SAME)
    assert not folder.ledger.exists()
    assert (folder.path / "finished-1" / "ledger.jsonl").read_text() == "{}\n"
    folder.record.write_text("{}")
    folder.begin(OTHER)
    assert (folder.path / "finished-2" / "record.json").exists()


def test_the_energy_of_another_configuration_is_kept_apart(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(SAME)
    folder.ledger.write_text("{}\n")
    folder.begin(OTHER)
    assert not folder.ledger.exists()
    assert (folder.path / "other-1" / "ledger.jsonl").read_text() == "{}\n"


def test_decisions_are_appended_one_a_line(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.append_decisions([{"n": 1}])
    folder.append_decisions([{"n": 2}, {"n": 3}])
    assert [json.loads(line)["n"] for line in folder.decisions.read_text().splitlines()] == [1, 2, 3]


def test_a_root_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="artifacts_root must be a folder that this worker can write"):
        RunFolder(tmp_path / "file" / "run").create()
