"""A report's page is read only from where a run's report lies, without following links."""

import os
from pathlib import Path

import pytest
from lowtide.airflow.report_app import LARGEST_PAGE_BYTES, artifacts_roots, read_stored_report
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import ArtifactError
from lowtide.runs.folder import report_folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", str(tmp_path / "artifacts"))
    folder = report_folder(tmp_path / "artifacts", "d", "a:b")
    folder.mkdir(parents=True)
    (folder / "report.html").write_bytes(b"<p>")
    return tmp_path / "artifacts"


def written(root: Path) -> str:
    return str(report_folder(root, "d", "a:b") / "report.json")


def test_the_page_of_a_run_is_read(root: Path) -> None:
    assert read_stored_report(written(root), "d", "a:b") == b"<p>"


def test_the_root_itself_may_be_a_link_since_whoever_deploys_made_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounted").symlink_to(root)
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", str(tmp_path / "mounted"))
    assert read_stored_report(written(root), "d", "a:b") == b"<p>"


def test_without_a_deployments_root_it_is_that_of_the_configuration_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWTIDE_ARTIFACTS_ROOT", raising=False)
    assert artifacts_roots() == [PROJECT_ROOT / "artifacts"]


@pytest.mark.parametrize("place", ["../other/report.json", "report.html", "sub/report.json", "../../../x/report.json"])
def test_no_other_place_is_read_whatever_is_named(root: Path, place: str) -> None:
    folder = report_folder(root, "d", "a:b")
    with pytest.raises(ArtifactError, match="outside this server's artifact root"):
        read_stored_report(f"{folder}/{place}", "d", "a:b")


@pytest.mark.parametrize("dag_id", ["..", ".", "", "../d", "/", "d/../d"])
def test_ids_that_look_like_paths_lead_nowhere(root: Path, dag_id: str) -> None:
    with pytest.raises(ArtifactError):
        read_stored_report(written(root), dag_id, "a:b")
    with pytest.raises(ArtifactError):
        read_stored_report(str(report_folder(root, dag_id, "a:b") / "report.json"), dag_id, "a:b")


def test_a_page_beyond_all_measure_is_not_loaded(root: Path) -> None:
    os.truncate(Path(written(root)).with_name("report.html"), LARGEST_PAGE_BYTES + 1)
    with pytest.raises(ArtifactError, match="64 MiB"):
        read_stored_report(written(root), "d", "a:b")


def test_a_page_that_may_not_be_read_is_a_sentence_without_its_path(root: Path) -> None:
    page = Path(written(root)).with_name("report.html")
    page.unlink()
    page.mkdir()
    with pytest.raises(ArtifactError) as raised:
        read_stored_report(written(root), "d", "a:b")
    assert str(root) not in str(raised.value)
