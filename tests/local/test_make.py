"""The Makefile's own share: it finds a Python, and says so in one sentence when there is none."""

import os
import shutil
import subprocess
from pathlib import Path

from local.bootstrap import ROOT


def make(target: str, folder: Path, path: str) -> "subprocess.CompletedProcess[str]":
    shutil.copy(ROOT / "Makefile", folder)
    command = [str(shutil.which("make")), "--no-print-directory", target]
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_without_python_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    answer = make("setup", tmp_path, path=str(tmp_path))
    sentences = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert answer.returncode == 2
    assert len(sentences) == 1
    assert sentences[0].startswith("No Python 3.11 to 3.14 was found on PATH; install one")


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    old, new = tmp_path / "python3", tmp_path / "python3.12"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # what the version probe exits with
    new.write_text('#!/bin/sh\n[ "$1" = -c ] || echo "set up by $0 $1 $2"\n', encoding="utf-8")
    for script in (old, new):
        script.chmod(0o755)
    answer = make("setup", tmp_path, path=str(tmp_path))
    assert answer.returncode == 0
    assert answer.stdout.strip().endswith("python3.12 -m local.bootstrap")


def test_help_is_the_default_and_names_every_target(tmp_path: Path) -> None:
    shown = make("help", tmp_path, path=os.environ["PATH"]).stdout
    for target in ("run", "up", "down", "setup", "test", "check", "clean"):
        assert f"make {target} " in shown
