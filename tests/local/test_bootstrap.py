"""Set-up is made once, redone after an interruption, and explains itself; real venv, real pip, empty requirements."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import bootstrap
from local.bootstrap import ROOT
from tests.local.subreaper import no_process_left

BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("small_mark.py", "")
        wheel.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("small-1.dist-info/RECORD", "")
    return name
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project folder with empty requirements and a build system of its own, so that pip needs no network."""
    (tmp_path / "local").mkdir()
    for name in ("__init__.py", "bootstrap.py", "supervisor.py"):
        shutil.copy(ROOT / "local" / name, tmp_path / "local")
    for name in bootstrap.INPUTS:
        (tmp_path / name).write_text("# nothing\n", encoding="utf-8")
    project = '[project]\nname = "small"\nversion = "1"\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (tmp_path / "pyproject.toml").write_text(project + system, encoding="utf-8")
    (tmp_path / "backend.py").write_text(BACKEND, encoding="utf-8")
    return tmp_path


def set_up(root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "local.bootstrap"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_set_up_happens_once_and_again_when_requirements_change(root: Path) -> None:
    first = set_up(root)
    assert first.returncode == 0, first.stderr
    assert "creating" in first.stdout and "done in" in first.stdout
    imported = subprocess.run([root / ".venv" / "bin" / "python", "-c", "import small_mark"], check=False)
    assert imported.returncode == 0, "the project itself is installed"

    assert set_up(root).stdout == ""

    (root / "requirements-dev.txt").write_text("# another\n", encoding="utf-8")
    again = set_up(root)
    assert "installing" in again.stdout
    assert "creating" not in again.stdout, "a finished environment is brought up to date, not thrown away"


def test_an_interrupted_set_up_leaves_no_process_and_starts_afresh_the_next_time(root: Path) -> None:
    with no_process_left():
        process = subprocess.Popen(
            [sys.executable, "-m", "local.bootstrap"], cwd=root, stderr=subprocess.PIPE, text=True
        )
        while not (root / ".venv" / bootstrap.LOG).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGINT
        assert message.strip() == "Set-up interrupted; make setup starts it again."
    assert (root / ".venv" / bootstrap.UNFINISHED).exists()

    again = set_up(root)
    assert again.returncode == 0
    assert "creating" in again.stdout
    assert not (root / ".venv" / bootstrap.UNFINISHED).exists()


def test_a_killed_set_up_takes_its_processes_with_it(root: Path) -> None:
    with no_process_left():
        process = subprocess.Popen([sys.executable, "-m", "local.bootstrap"], cwd=root)
        while not (root / ".venv" / bootstrap.LOG).exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
        time.sleep(2)


def test_a_failing_pip_shows_its_last_lines_and_the_next_set_up_starts_afresh(root: Path) -> None:
    (root / "requirements-dev.txt").write_text("./no-such-package\n", encoding="utf-8")
    failed = set_up(root)
    assert failed.returncode == 2
    assert "pip install failed; the last lines" in failed.stderr
    assert "no-such-package" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (root / ".venv" / bootstrap.UNFINISHED).exists()


def test_a_second_set_up_at_the_same_time_is_refused(root: Path) -> None:
    refused: list[subprocess.CompletedProcess[str]] = []
    assert bootstrap.carry_out(lambda: refused.append(set_up(root)), root / "requirements.txt") == 0
    assert refused[0].returncode == 2
    assert refused[0].stderr.strip() == f"Another make is running in {root}; wait for it, or end it with Ctrl-C."


def test_too_little_space_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_BYTES", 10**18)
    with pytest.raises(bootstrap.LocalError, match=r"needs 1000000000.0 GB, but .* are free; free some space"):
        bootstrap.set_up(root, [])
    assert not (root / ".venv").exists()


def test_a_missing_venv_module_names_the_package_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(bootstrap.LocalError, match=r"has no module ensurepip; .*: apt install python3-venv\)"):
        bootstrap.set_up(root, [])
    assert not (root / ".venv").exists()
