"""`lowtide compare` as a user runs it: one run, several a side, a wait with perfect foresight."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from lowtide.records import IntensityKind, Reading

from tests.support.command_line import LOWTIDE
from tests.support.runs import booked_rows, slot_reading, write_run
from tests.support.schemas import REPORT_SCHEMA

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
        decision = {"action": "wait", "reason": "above_threshold", "text": "too dirty", "reading": None}
        folder.append_decisions([decision | {"decided_at": SUBMITTED.isoformat(), "deadline": deadline}])
        made.append(folder.path)
    return made


def compare(tmp_path: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "compare", *map(str, arguments), "--output", str(tmp_path / "report")],
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
    assert [len(report["replicates"][side]) for side in ("baselines", "runs")] == [2, 2]
    # half an hour at each of two values: 280 and 270 from 21:00 on, so 275, then 255, 235 and 215 g/kWh
    assert report["changes"]["emissions_percent"] == pytest.approx(100 * ((235 + 215) / (275 + 255) - 1))
    interval = report["replicates"]["changes"]["emissions_percent"]
    assert interval["low"] < report["changes"]["emissions_percent"] < interval["high"]


def test_a_run_is_not_compared_with_itself(tmp_path: Path, folders: list[Path]) -> None:
    """Nor is a copy of it: the two would be one energy, and what its wait avoided would be made up for by "the grid"."""
    copy = shutil.copytree(folders[1], tmp_path / "copy")
    done = compare(tmp_path, "--baseline", *folders[:2], "--run", copy)
    assert done.returncode == 2
    assert "is also given as a baseline and would be compared with itself; give two runs, or no baseline" in done.stderr
    assert not (tmp_path / "report").exists()


def test_a_run_alone_shows_what_its_wait_was_worth(tmp_path: Path, folders: list[Path]) -> None:
    """At submission 295 g/kWh, run at 215, and at best the last hour before the deadline, at 115."""
    done = compare(tmp_path, "--run", folders[3])
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "Nothing to compare with" in words
    advice = (
        "lowtide train include/configs/baseline.yaml --output DIR (of this run's model, data, zone and effective batch)"
    )
    assert f"on the command line with: {advice}, and compare with --baseline DIR." in words
    assert "The deadline 2026-03-02 06:00:00 UTC was met." in words
    assert "the same energy would have run from 2026-03-02 05:00:00 UTC to 2026-03-02 06:00:00 UTC" in words
    assert "Waiting achieved 44.4 % of that." in words
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["waiting"]["avoided_percent"] == pytest.approx(100 * (295 - 215) / 295)
    assert report["waiting"]["perfect_foresight"]["captured_percent"] == pytest.approx(100 * 80 / 180)
    assert (tmp_path / "report" / "report.md").exists()


def test_a_run_given_twice_is_refused_in_one_sentence(tmp_path: Path, folders: list[Path]) -> None:
    done = compare(tmp_path, "--run", folders[0], folders[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "is given twice as a run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "percent", "said"),
    [
        ((), 60.0, "A change within 60 % counts as none, as the run's configuration has it (default 3 %)."),
        (("--repeatability-percent", "1.5"), 1.5, "A change within 1.5 % counts as none, as asked for (default 3 %)."),
        (("--repeatability-percent", "3"), 3.0, None),
    ],
)
def test_a_change_counts_as_the_runs_configuration_had_it_unless_asked_otherwise(
    tmp_path: Path, folders: list[Path], option: tuple[str, ...], percent: float, said: str | None
) -> None:
    rows = booked_rows(SUBMITTED + timedelta(hours=4), grid())
    written = {"submitted_at": SUBMITTED, "at_submission": grid(), "report": {"repeatability_percent": 60.0}}
    mine, _ = write_run(tmp_path / "mine", rows, **written)
    done = compare(tmp_path, "--baseline", folders[0], "--run", mine.path, *option)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report" / "report.json").read_text())["repeatability_percent"] == percent
    assert ("A change within" in done.stdout) == (said is not None)
    assert said is None or said in done.stdout


def test_of_several_runs_the_one_that_claims_least_decides(tmp_path: Path, folders: list[Path]) -> None:
    rows = booked_rows(SUBMITTED + timedelta(hours=5), grid())
    noisy = {"submitted_at": SUBMITTED, "at_submission": grid(), "report": {"repeatability_percent": 7.0}}
    mine, _ = write_run(tmp_path / "mine", rows, **noisy)
    done = compare(tmp_path, "--run", folders[3], mine.path)
    assert "A change within 7 % counts as none, the largest of the runs' configurations (default 3 %)." in done.stdout


@pytest.mark.parametrize("percent", ["-1", "101", "nan", "much"])
def test_a_repeatability_that_is_not_a_percentage_is_refused_in_one_sentence(tmp_path: Path, percent: str) -> None:
    done = compare(tmp_path, "--run", tmp_path, f"--repeatability-percent={percent}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--repeatability-percent: {percent!r} cannot be used; give a number from 0 to 100" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
