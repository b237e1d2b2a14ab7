"""`lowtide compare` as a user runs it: one run, several a side, a wait with its oracle."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from include.config import PROJECT_ROOT
from include.records import IntensityKind, Reading
from include.report.schemas import REPORT_SCHEMA
from tests.support.runs import booked_rows, slot_reading, write_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def grid() -> list[Reading]:
    start = SUBMITTED
    return [slot_reading(start + k * HALF_HOUR, 300.0 - 10 * k, IntensityKind.MEASURED) for k in range(20)]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Four runs that were submitted at 20:00 and started at 21:00, 22:00, 23:00 and midnight; deadline 06:00."""
    made = []
    for k in range(4):
        start = SUBMITTED + timedelta(hours=1 + k)
        folder, _ = write_run(
            tmp_path / f"run{k}", booked_rows(start, grid()), submitted_at=SUBMITTED, at_submission=grid()
        )
        deadline = (SUBMITTED + timedelta(hours=10)).isoformat()
        folder.append_decisions([{"decided_at": SUBMITTED.isoformat(), "deadline": deadline, "reading": None}])
        made.append(folder.path)
    return made


def compare(tmp_path: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(PROJECT_ROOT / "lowtide"), "compare", *map(str, arguments), "--output", str(tmp_path / "report")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"LOWTIDE_ARTIFACTS_ROOT": str(tmp_path)},
    )


def test_several_runs_a_side_are_compared_by_their_means_with_intervals(tmp_path: Path, folders: list[Path]) -> None:
    done = compare(tmp_path, "--baseline", *folders[:2], "--run", folders[2], "--run", folders[3], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json.loads(REPORT_SCHEMA.read_text())).validate(report)
    assert report == json.loads((tmp_path / "report" / "report.json").read_text())
    assert [len(report["repeats"][side]) for side in ("baselines", "runs")] == [2, 2]
    # half an hour at each of two values: 280 and 270 from 21:00 on, so 275, then 255, 235 and 215 g/kWh
    assert report["changes"]["emissions_percent"] == pytest.approx(100 * ((235 + 215) / (275 + 255) - 1))
    interval = report["repeats"]["changes"]["emissions_percent"]
    assert interval["low"] < report["changes"]["emissions_percent"] < interval["high"]


def test_a_run_alone_is_told_what_its_wait_was_worth(tmp_path: Path, folders: list[Path]) -> None:
    """At submission 295 g/kWh, run at 215, and at best the last hour before the deadline, at 115."""
    done = compare(tmp_path, "--run", folders[3])
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "Nothing to compare with" in words
    assert "The deadline 2026-03-02 06:00:00 UTC was met." in words
    assert "would have run this energy from 2026-03-02 05:00:00 UTC to 2026-03-02 06:00:00 UTC" in words
    assert "The wait got 44.4 % of that." in words
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["waiting"]["avoided_percent"] == pytest.approx(100 * (295 - 215) / 295)
    assert report["waiting"]["oracle"]["captured_percent"] == pytest.approx(100 * 80 / 180)
    assert (tmp_path / "report" / "report.md").exists()


def test_a_run_given_twice_is_refused_in_one_sentence(tmp_path: Path, folders: list[Path]) -> None:
    done = compare(tmp_path, "--run", folders[0], folders[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "is given twice as a run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
