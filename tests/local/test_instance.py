"""What is recorded about a running Airflow, and who may run."""

import os
from pathlib import Path

import psutil
import pytest

from local import instance as instances
from local.instance import Instance, Member
from local.lock import only_one
from local.places import Places
from local.problems import LocalProblem
from local.startup import refuse_or_end_what_is_there


def myself(mode: instances.Mode) -> Instance:
    me = Member(name="scheduler", pid=os.getpid(), create_time=psutil.Process().create_time())
    return Instance(id="x", port=8123, mode=mode, members=[me])


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    file = tmp_path / "instance.json"
    written = myself("up")
    written.write(file)
    assert instances.read(file) == written


@pytest.mark.parametrize("text", ["", "{", '{"id": "x"}', '{"members": [{"pid": 1}]}'])
def test_a_file_that_is_not_whole_is_no_record(tmp_path: Path, text: str) -> None:
    file = tmp_path / "instance.json"
    file.write_text(text, encoding="utf-8")
    assert instances.read(file) is None


def test_an_airflow_that_make_up_started_is_refused_not_ended(tmp_path: Path) -> None:
    places = Places.of_project(tmp_path)
    places.prepare()
    myself("up").write(places.instance)
    with pytest.raises(LocalProblem, match=r"already running here, at http://127\.0\.0\.1:8123 .* make down first"):
        refuse_or_end_what_is_there(places)


def test_a_record_of_an_up_that_is_long_gone_is_no_obstacle(tmp_path: Path) -> None:
    places = Places.of_project(tmp_path)
    places.prepare()
    gone = myself("up")
    gone.members[0].create_time -= 3600
    gone.members[0].pid = 2**22 + 1  # above the kernel's largest process id
    gone.write(places.instance)
    assert refuse_or_end_what_is_there(places) == 0
    assert not places.instance.exists()


def test_a_second_runner_in_the_same_folder_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    lock = tmp_path / "home" / "runner.lock"
    with (
        only_one(lock),
        pytest.raises(LocalProblem, match=rf"Another Lowtide runner \(process {os.getpid()}\)"),
        only_one(lock),
    ):
        pass
    with only_one(lock):
        pass
