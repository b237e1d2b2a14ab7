"""``make run``, ``make up`` and ``make down`` as processes of their own, on an Airflow in another folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.bootstrap import ROOT


def variables(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a runner that keeps everything in a folder, except the code."""
    inside = {"HOME": ".airflow", "DAGS": "dags", "ARTIFACTS": "artifacts"}
    return {**os.environ, **{f"LOCAL_{name}": str(folder / part) for name, part in inside.items()}, **more}


class Runner:
    """One command in a process; its output is read as it comes."""

    def __init__(self, command: str, folder: Path, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local", command, "--port", str(port)],
            cwd=ROOT,
            env=variables(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        pytest.fail(f"no line with {words!r} in:\n{self.output}")

    def finish(self, timeout_s: float = 120.0) -> int:
        assert self.process.stdout
        with self.process.stdout as stream:
            self.lines += stream.readlines()
        return self.process.wait(timeout_s)

    @property
    def output(self) -> str:
        return "".join(self.lines)


def wait_until(condition, timeout_s: float = 30.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)
