"""What a person reads while the demo's tasks run: what Lowtide's operators log, and errors."""

import json
from pathlib import Path

import pytest

from local.__main__ import _texts, say

OPERATOR = "airflow.task.operators.lowtide.airflow.training.GpuTrainingOperator"
ENTRIES = [
    {"level": "info", "logger": "task", "event": "::group::Pre Execute"},
    {"level": "warning", "logger": "py.warnings", "event": "something is deprecated"},
    {"level": "info", "logger": OPERATOR, "event": "train: epoch 1/1, 4,096 of 60,000 samples"},
    {
        "level": "error",
        "logger": "task",
        "event": "Task failed",
        "error_detail": [{"exc_type": "DataSetError", "exc_value": "no MNIST"}],
    },
]


def test_lowtides_own_lines_and_errors_with_their_causes_are_shown(tmp_path: Path) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in ENTRIES)
    (tmp_path / "attempt=1.log").write_text(text + '{"level": "error", "ev', encoding="utf-8")
    (tmp_path / "attempt=2.log").write_text(json.dumps(ENTRIES[2] | {"event": "again"}), encoding="utf-8")
    assert list(_texts(tmp_path)) == [
        "train: epoch 1/1, 4,096 of 60,000 samples",
        "Task failed DataSetError: no MNIST",
        "again",
    ]
    assert list(_texts(tmp_path / "nowhere")) == []


def test_a_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a [red] line", "another", "a [red] line"):
        say(text)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["a [red] line", "another"]
