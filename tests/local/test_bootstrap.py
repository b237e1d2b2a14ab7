"""Set-up is made once, redone after an interruption, and explains itself; real venv, real pip, empty requirements."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from local import bootstrap
from local.places import PROJECT_ROOT
from tests.local.subreaper import no_process_left


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project folder whose requirements are empty, so that pip needs no network."""
    (tmp_path / "local").mkdir()
    shutil.copy(PROJECT_ROOT / "local" / "bootstrap.py", tmp_path / "local")
    for name in bootstrap.INPUTS:
        (tmp_path / name).write_text("# nothing\n", encoding="utf-8")
    return tmp_path


def set_up(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "local/bootstrap.py"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_set_up_happens_once_and_again_when_requirements_change(root: Path) -> None:
    first = set_up(root)
    assert first.returncode == 0, first.stderr
    assert "creating" in first.stdout and "done in" in first.stdout

    assert set_up(root).stdout == ""

    (root / "requirements-dev.txt").write_text("# another\n", encoding="utf-8")
    again = set_up(root)
    assert "installing" in again.stdout
    assert "creating" not in again.stdout, "a finished environment is brought up to date, not thrown away"


def test_an_interrupted_set_up_leaves_no_process_and_is_begun_again(root: Path) -> None:
    with no_process_left():
        process = subprocess.Popen([sys.executable, "local/bootstrap.py"], cwd=root, stderr=subprocess.PIPE, text=True)
        while not (root / ".venv" / bootstrap.LOG).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGINT
        assert message.strip() == "Set-up interrupted; make setup begins it again."
    assert not bootstrap.is_ready(root / ".venv", bootstrap.checksum(root))

    again = set_up(root)
    assert again.returncode == 0
    assert "creating" in again.stdout
    assert bootstrap.is_ready(root / ".venv", bootstrap.checksum(root))


def test_a_signal_in_the_middle_of_a_start_does_not_lose_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the fork and the moment when its parent knows of it, a child could outlive an interrupted set-up."""

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(signal.SIGINT, bootstrap._interrupt)
    try:
        with no_process_left(), pytest.raises(bootstrap.Interrupted):
            bootstrap._run(["sleep", "60"], tmp_path / "log", label="sleep")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_failing_pip_shows_its_last_lines_and_the_next_set_up_starts_afresh(root: Path) -> None:
    (root / "requirements-dev.txt").write_text("./no-such-package\n", encoding="utf-8")
    failed = set_up(root)
    assert failed.returncode == 2
    assert "pip failed; its last lines" in failed.stderr
    assert "no-such-package" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (root / ".venv" / bootstrap.UNFINISHED).exists()


def test_a_second_set_up_at_the_same_time_is_refused(root: Path) -> None:
    with bootstrap._alone(root):
        refused = set_up(root)
    assert refused.returncode == 2
    assert refused.stderr.strip() == f"Another set-up is at work in {root}; wait for it to finish."


def test_too_little_space_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_BYTES", 10**18)
    with pytest.raises(bootstrap.SetupFailed, match=r"needs about 1000000000 GB .* free some space"):
        bootstrap.set_up(root)
    assert not (root / ".venv").exists()


def test_a_missing_venv_module_names_the_package_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(
        bootstrap.SetupFailed,
        match=r"has no module ensurepip; .*: apt install python3\.\d+-venv\)",
    ):
        bootstrap.set_up(root)
    assert not (root / ".venv").exists()
