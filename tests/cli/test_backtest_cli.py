"""`lowtide backtest` as a user runs it: real processes, files, exit statuses."""

import csv
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.command_line import LOWTIDE
from tests.support.traces import SPRING, grid_like, write_trace

KEYS = {
    "zone", "policy", "duration_h", "slack_h", "submit", "interruptible", "jobs", "run_now_gco2eq_per_kwh",
    "policy_gco2eq_per_kwh", "oracle_gco2eq_per_kwh", "saving_percent", "oracle_saving_percent", "captured_percent",
    "mean_wait_h", "p95_wait_h", "deadline_misses", "mean_segments",
}  # fmt: skip


def backtest(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "backtest", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, "COLUMNS": "200"},
        check=False,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("traces")
    values = grid_like(90)
    trace = write_trace(
        folder / "DE_2031.csv.gz", values[60 * 24 :], start=SPRING + timedelta(days=60), without=(300, 301)
    )
    return trace, write_trace(folder / "DE_2030.csv", values[: 60 * 24])


def test_the_contract_of_arguments_keys_and_starts_is_kept(files: tuple[Path, Path], tmp_path: Path) -> None:
    trace, history = files
    starts, picture = tmp_path / "starts.csv", tmp_path / "it.png"
    done = backtest(
        "--trace", trace, "--history", history, "--timezone", "Europe/Berlin", "--policy", "window,percentile",
        "--duration", "1h,90m", "--slack", "4h,12h", "--submit", "random", "--seed", "7", "--starts", starts, "--plot", picture,
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [(r["policy"], r["duration_h"], r["slack_h"]) for r in results] == [
        (policy, duration, slack)
        for policy in ("window", "percentile")
        for duration in (1.0, 1.5)
        for slack in (4.0, 12.0)
    ]
    assert all(set(r) == KEYS for r in results)
    assert {(r["zone"], r["submit"], r["interruptible"], r["deadline_misses"]) for r in results} == {
        ("DE", "random", False, 0)
    }
    with starts.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["policy", "duration_h", "slack_h", "submit", "deadline", "segment_start", "segment_end"]
    assert len(rows) == 1 + sum(r["jobs"] for r in results)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "meet a gap of the trace" in done.stderr


def test_the_table_fits_a_page_and_says_what_it_means(files: tuple[Path, Path]) -> None:
    trace, history = files
    done = backtest(
        "--trace", trace, "--history", history, "--policy", "window,interruptible,threshold", "--threshold", "300.5",
        "--duration", "12h", "--slack", "24h,36h", "--forecast", "perfect",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 100
    assert (
        "missed: jobs that end after their deadline; segments: pieces that a job runs in, mean (1: no pause)" in lines
    )
    assert sum(line.startswith(("window ", "interruptible* ", "threshold ")) for line in lines) == 6
    for message in (
        "of the saving with perfect foresight, over 2 lines",
        "may pause",
        "meet a gap",
        "Europe/Berlin",
    ):
        assert message in done.stdout


def test_interruptible_makes_window_and_perfect_foresight_pause(files: tuple[Path, Path]) -> None:
    trace, history = files
    arguments = ("--trace", trace, "--history", history, "--duration", "12h", "--slack", "36h", "--json")
    (whole,), (paused,) = (json.loads(backtest(*arguments, *more).stdout) for more in ((), ("--interruptible",)))
    assert (whole["interruptible"], whole["mean_segments"]) == (False, 1.0)
    assert (paused["interruptible"], paused["policy"]) == (True, "window")
    assert paused["mean_segments"] > 1.0
    assert paused["oracle_gco2eq_per_kwh"] < whole["oracle_gco2eq_per_kwh"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trace", "{trace}", "--policy", "windows"), "choose among immediate, threshold"),
        (("--trace", "{trace}", "--policy", "threshold"), "needs --threshold"),
        (("--trace", "{trace}", "--duration", "1h,2x"), "--duration: '1h,2x'"),
        (("--trace", "{trace}", "--slack", ""), "--slack: ''"),
        (("--trace", "{trace}", "--submit", "midnight"), "--submit 'midnight'"),
        (("--trace", "{trace}", "--timezone", "Berlin"), "--timezone: 'Berlin'"),
        (("--trace", "{trace}", "--timezone", "../etc"), "--timezone: '../etc'"),
        (("--trace", "{trace}", "--zone", "DEE"), "did you mean"),
        (("--trace", "{trace}", "--seed", "-1"), "--seed: '-1'"),
        (("--trace", "{trace}", "--minimum-gain", "nan"), "--minimum-gain: 'nan'"),
        (("--trace", "{trace}", "--percentile", "100"), "--percentile: '100'"),
        (("--trace", "{trace}", "--history", "{trace}"), "nothing in it is older than the trace"),
        (("--trace", "{trace}", "--history", "gone.csv"), "no such trace file; check --history"),
        (("--trace", "gone.csv"), "gone.csv: there is no such trace file; check --trace"),
        (("--trace", "DE_gone.csv"), "no such trace file; check --trace"),
        (("--trace", "{trace}", "--slack", "90d"), "leaves no job to run"),
        (("--trace", "{trace}", "--plot", "x.txt"), "x.txt is not a picture"),
        (("--trace", "{trace}", "--policy", "immediate", "--starts", "/dev/null/x.csv"), "/dev/null/x.csv"),
        (("--trace", "{trace}", "--forecast", "guess"), "--forecast"),
        ((), "--trace"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], message: str, files: tuple[Path, Path]
) -> None:
    done = backtest(*(argument.format(trace=files[0]) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_trace_whose_name_has_no_zone_wants_one(files: tuple[Path, Path]) -> None:
    nameless = files[0].with_name("mine.csv")
    shutil.copy(files[0], nameless)
    done = backtest("--trace", nameless)
    assert done.returncode == 2
    assert done.stderr == "lowtide: mine.csv does not begin with a zone, as DE_2023.csv does; give --zone\n"


def test_a_zone_outside_the_table_is_only_a_name_where_the_time_zone_is_given(files: tuple[Path, Path]) -> None:
    arguments = (
        "--trace",
        files[0],
        "--zone",
        "my-site",
        "--timezone",
        "Asia/Kolkata",
        "--policy",
        "immediate",
        "--duration",
        "1h",
    )
    done = backtest(*arguments, "--slack", "4h", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["zone"] == "my-site"
