"""The disk is checked before anything is started."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from local import preflight
from local.places import Places
from local.ports import HOST, free_port
from local.problems import LocalProblem


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of_project(tmp_path)


def test_a_good_machine_gets_its_folders_and_the_home_is_private(places: Places) -> None:
    preflight.check(places, free_port())
    assert places.component_logs.is_dir()
    assert places.artifacts.is_dir()
    assert places.home.stat().st_mode & 0o777 == 0o700


def test_too_little_space_is_one_sentence(places: Places) -> None:
    with pytest.raises(
        LocalProblem, match=r"\.airflow needs 1000000000000 MB of free disk space, but .* free some space"
    ):
        preflight.check(places, free_port(), needed_bytes=10**18)


def test_artifacts_that_cannot_be_written_are_one_sentence(places: Places, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = replace(places, artifacts=tmp_path / "file" / "artifacts")
    with pytest.raises(LocalProblem, match=r"artifacts cannot be written \(Not a directory\)"):
        preflight.check(broken, free_port())


def test_a_port_in_use_is_seen_before_a_folder_is_made(places: Places) -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        with pytest.raises(LocalProblem, match="is in use"):
            preflight.check(places, server.getsockname()[1])
    assert not places.home.exists()
