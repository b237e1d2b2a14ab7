"""`lowtide history` as a user runs it: real processes, files, exit statuses."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command_line import LOWTIDE
from tests.support.history import LATER, actual, files, forecast, grams, store
from tests.support.history_files import portal, trace

HOURS = [datetime(2025, 12, 30, tzinfo=UTC) + timedelta(hours=i) for i in range(48)]


def history(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LOWTIDE, "history", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, "COLUMNS": "80", **environment},
        check=False,
    )


@pytest.fixture
def yearly(tmp_path: Path) -> Path:
    rows = [
        f"{hour:%Y-%m-%d %H:%M:%S},{200 + i},{300 + i},{i % 2 == 0}"
        for i, hour in enumerate(HOURS)
        if i not in (20, 21)
    ]
    return portal(tmp_path, *rows)


def test_an_imported_file_is_shown_with_its_gap_and_importing_again_adds_nothing(yearly: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    first = history("import", yearly, "--zone", "DE", "--artifacts", root, "--json")
    assert first.returncode == 0, first.stderr
    assert [(r["values"], r["new"]) for r in json.loads(first.stdout)] == [(46, 46), (46, 46)]
    again = history("import", yearly, "--zone", "DE", LOWTIDE_ARTIFACTS_ROOT=str(root))
    assert again.stdout.count("0 of 46 values are new") == 2
    shown = history("show", "--zone", "DE", "--artifacts", root)
    assert shown.returncode == 0, shown.stderr
    assert "lifecycle emission factors" in shown.stdout
    assert "gap 2025-12-30T20:00:00Z to 2025-12-30T22:00:00Z (2 h)" in shown.stdout
    assert "█" in shown.stdout
    assert "·" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80 or str(root) in shown.stdout


def test_show_as_json_carries_coverage_and_values_of_the_requested_span(yearly: Path, tmp_path: Path) -> None:
    history("import", yearly, "--zone", "DE", "--artifacts", tmp_path, "--factors", "direct")
    span = ("--start", "2025-12-30T18:00Z", "--end", "2025-12-31T00:00Z")
    for arguments in (("show", "--zone", "DE", "--json"), ("--json", "show", "--zone", "DE")):
        done = history(*arguments, "--artifacts", tmp_path, *span)
        (view,) = json.loads(done.stdout)
        assert view["coverage"]["intervals"] == 4
        assert view["coverage"]["actual_percent"] == pytest.approx(66.667, abs=0.001)
        assert [v["carbon_intensity_gco2eq_per_kwh"] for v in view["values"]] == [218, 219, 222, 223]


def test_a_trace_can_seed_a_provider_s_store_as_of_a_time(tmp_path: Path) -> None:
    file = trace(tmp_path, "2026-03-02T00:00Z,100\n2026-03-02T01:00Z,110\n")
    done = history(
        "import", file, "--zone", "GB", "--factors", "direct", "--source", "neso", "--known-at", "2026-03-02T02:00Z",
        "--artifacts", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    span = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert store(tmp_path).known(*span, span[1] - timedelta(microseconds=1)) == ()
    assert grams(store(tmp_path).known(*span, span[1])) == [100, 110]


def test_forecasts_and_damaged_files_are_shown(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.add([actual(100.0)], LATER)
    (file,) = files(kept)
    file.write_bytes(b"x")
    kept.add([forecast(90.0, kept_start) for kept_start in HOURS], LATER)
    shown = history("show", "--zone", "GB", "--artifacts", tmp_path)
    assert f"unreadable file {file.name}" in shown.stdout
    assert "48 h known from a forecast only" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "--zone", "FR"), "there is no history of zone FR"),
        (("show", "--zone", "DEE"), "did you mean"),
        (("show", "--zone", "DE", "--start", "yesterday"), "--start: 'yesterday' is not a timestamp"),
        (("import", "gone.csv", "--zone", "DE"), "no such file"),
        (("import", "{yearly}", "--zone", "FR"), "is of zone 'DE', not 'FR'"),
        (("import", "{yearly}", "--zone", "DE", "--artifacts", "/dev/null/x"), "/dev/null/x"),
        (("import", "{yearly}"), "--zone"),
        ((), "ACTION"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], message: str, yearly: Path, tmp_path: Path
) -> None:
    given = [argument.format(yearly=yearly) for argument in arguments]
    done = history(*given, LOWTIDE_ARTIFACTS_ROOT=str(tmp_path / "artifacts"))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
