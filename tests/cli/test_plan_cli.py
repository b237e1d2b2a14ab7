"""``lowtide plan`` as a user runs it: what would be decided now, and why."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import parse_time, utc_now

from tests.support.command_line import LOWTIDE
from tests.support.config_files import write_config
from tests.support.loopback import Loopback
from tests.support.neso_server import grid_value, serve_neso
from tests.support.traces import grid_like, write_trace

WINDOW = ("--set", "scheduler.policy=window", "--set", "scheduler.deadline=24h", "--set", "scheduler.jitter=null")


def plan(*arguments, columns=100, **environment):
    return subprocess.run(
        [LOWTIDE, "plan", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, "COLUMNS": str(columns), **environment},
        cwd=PROJECT_ROOT,
        check=False,
    )


@pytest.fixture
def neso():
    with Loopback() as server:
        serve_neso(server, utc_now)
        yield server


def live(tmp_path, **changes):
    live_grid = {"grid__zone": "GB", "grid__provider": "neso", "grid__replay": None}
    return str(write_config(tmp_path, **(live_grid | {"scheduler__expected_duration": "2h"} | changes)))


def test_the_cleanest_block_of_a_live_forecast_is_chosen_and_written_as_json(tmp_path, neso):
    done = plan(live(tmp_path), *WINDOW, "--json", LOWTIDE_GRID_URL=neso.url)
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    decision, prediction = written["decision"], written["prediction"]
    assert prediction["source"] == "neso"
    edges = [parse_time(edge) for edge in prediction["edges"]]
    cleanest = min(prediction["carbon_intensity_gco2eq_per_kwh"])
    if decision["action"] == "wait":
        start = parse_time(decision["planned_start"])
        held = prediction["carbon_intensity_gco2eq_per_kwh"][
            max(i for i, edge in enumerate(edges[:-1]) if edge <= start)
        ]
        assert held <= cleanest + 15  # two hours of a grid that changes by 5 g an hour
        assert start + timedelta(hours=2) <= parse_time(decision["deadline"])
    else:
        assert grid_value(utc_now()) <= cleanest + 15


def test_the_chart_fits_the_terminal_and_marks_the_block(tmp_path):
    values = grid_like(60, zone="US-CAL-CISO", start=datetime(2031, 2, 3, tzinfo=UTC))
    trace = write_trace(tmp_path / "US-CAL-CISO_2031.csv", values, start=datetime(2031, 2, 3, tzinfo=UTC))
    config = write_config(
        tmp_path, grid__replay={"trace": str(trace), "virtual_start": "2031-03-28T20:00", "speed": 1.0}
    )
    done = plan(str(config), *WINDOW, columns=80)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("waiting: by the forecast of the history (54 days, ")
    assert "expected saving" in lines[0]
    assert any(line.startswith("  chosen: ") and "(America/Los_Angeles)" in line for line in lines)
    bars = lines[-10:]
    assert max(len(line) for line in bars) <= 80
    assert "━" in bars[8]
    assert "|00:00" in bars[9]


def test_a_policy_that_does_not_wait_says_so_and_asks_no_provider(tmp_path, neso):
    done = plan(live(tmp_path), "--set", "scheduler.policy=immediate", LOWTIDE_GRID_URL=neso.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("policy immediate: starting at once")
    assert neso.seen == []


def test_without_provider_and_history_it_says_what_it_goes_by(tmp_path):
    done = plan(live(tmp_path, scheduler__failure_budget=1), *WINDOW, LOWTIDE_GRID_URL="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "no forecast for GB" in done.stdout
    assert "the usual order of hours" in done.stdout
    assert "neso: " in done.stdout, "the provider's failure is among the steps"


def test_a_deadline_of_years_ago_starts_at_once_with_a_warning(tmp_path):
    done = plan(str(write_config(tmp_path)), "--set", "scheduler.deadline=2020-01-01T06:00Z")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the deadline 2020-01-01 06:00 UTC has already passed: starting")
    assert "finish by Tue 31 Dec 2019 22:00" in done.stdout
    assert done.stderr.startswith("lowtide: the deadline 2020-01-01T06:00:00Z passed 1,931 days before the submission")
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_is_one_sentence(tmp_path):
    done = plan(live(tmp_path), "--set", "scheduler.policy=windows")
    assert done.returncode == 2
    assert done.stderr.startswith("lowtide: --set scheduler.policy is ")
    assert len(done.stderr.splitlines()) == 1
