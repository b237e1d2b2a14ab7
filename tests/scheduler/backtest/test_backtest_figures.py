"""The figures of a backtest against what can be worked out by hand, and against nothing but the chosen starts."""

import csv
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.config.schema import PausingConfig
from lowtide.errors import ConfigurationError
from lowtide.scheduler.backtest.results import line_of, pooled_captured_percent, run_backtest, write_starts
from lowtide.timeutil import parse_time

from tests.support.backtests import HOUR_S, config, grid, hours
from tests.support.traces import SPRING, grid_like

KEYS = [
    "zone", "policy", "duration_h", "slack_h", "submit", "interruptible", "jobs", "run_now_gco2eq_per_kwh",
    "policy_gco2eq_per_kwh", "oracle_gco2eq_per_kwh", "saving_percent", "oracle_saving_percent", "captured_percent",
    "mean_wait_h", "p95_wait_h", "deadline_misses", "mean_segments",
]  # fmt: skip
DAY = [300.0] * 2 + [100.0] * 2 + [200.0] * 18 + [400.0] * 2  # clean from 02:00 to 04:00, dirtiest from 22:00


def test_a_day_that_repeats_gives_the_figures_of_one_night() -> None:
    backtest = run_backtest(config(), grid(DAY * 4))
    (line,) = backtest.lines
    assert line.result == {
        "zone": "DE", "policy": "window", "duration_h": 2.0, "slack_h": 8.0, "submit": "22:00", "interruptible": False,
        "jobs": 3, "run_now_gco2eq_per_kwh": 400.0, "policy_gco2eq_per_kwh": 100.0, "oracle_gco2eq_per_kwh": 100.0,
        "saving_percent": 75.0, "oracle_saving_percent": 75.0, "captured_percent": 100.0, "mean_wait_h": 4.0,
        "p95_wait_h": 4.0, "deadline_misses": 0, "mean_segments": 1.0,
    }  # fmt: skip
    assert list(line.result) == KEYS
    assert backtest.notes == ("1 of 4 jobs pass the trace's end and are dropped",)


def test_starting_at_once_saves_nothing_and_misses_nothing() -> None:
    (line,) = run_backtest(config(policies=("immediate",)), grid(DAY * 4)).lines
    assert (line.result["saving_percent"], line.result["captured_percent"], line.result["mean_wait_h"]) == (
        0.0,
        0.0,
        0.0,
    )


def test_a_flat_grid_has_nothing_to_capture() -> None:
    (line,) = run_backtest(config(), grid([250.0] * 96)).lines
    assert (line.result["saving_percent"], line.result["captured_percent"]) == (0.0, None)


def test_a_threshold_starts_in_the_first_clean_hour() -> None:
    (line,) = run_backtest(config(policies=("threshold",), threshold_gco2eq_per_kwh=300.0), grid(DAY * 4)).lines
    assert line.result["mean_wait_h"] == 2.0
    assert line.result["policy_gco2eq_per_kwh"] == 300.0


def test_pausing_is_paid_for_in_time_and_energy_per_useful_kwh() -> None:
    # two clean hours, far apart: 04:00 and 07:00; the job resumes six minutes before the second
    day = [400.0] * 4 + [100.0] + [400.0] * 2 + [100.0] + [400.0] * 16
    pausing = PausingConfig(resume_time=timedelta(minutes=6), resume_energy=timedelta(minutes=12), maximum_pauses=1)
    wanted = config(policies=("interruptible",), slacks=hours(12), pausing=pausing)
    (line,) = run_backtest(wanted, grid(day * 4)).lines
    resume = 0.2 * 400.0  # twelve minutes at full power, at the intensity before the second clean hour
    assert line.result["policy_gco2eq_per_kwh"] == pytest.approx((100.0 + resume + 100.0) / 2.0)
    assert line.result["captured_percent"] == pytest.approx(100.0)
    assert line.result["mean_segments"] == 2.0
    assert line.result["mean_wait_h"] == pytest.approx(8.0)
    assert [round((end - start) / 60) for start, end in line.runs[0].segments] == [60, 66]


def test_window_with_interruptible_pauses_and_keeps_its_name() -> None:
    day = [400.0] * 4 + [100.0] + [400.0] * 2 + [100.0] + [400.0] * 16
    lines = run_backtest(
        config(policies=("window", "immediate"), slacks=hours(12), interruptible=True), grid(day * 4)
    ).lines
    window, at_once = (line.result for line in lines)
    assert (window["policy"], window["interruptible"], window["mean_segments"]) == ("window", True, 2.0)
    assert (at_once["mean_segments"], at_once["oracle_gco2eq_per_kwh"]) == (1.0, window["oracle_gco2eq_per_kwh"])


def test_a_job_that_ends_after_its_deadline_is_counted() -> None:
    wanted, seen = config(), grid(DAY * 4)
    (line,) = run_backtest(wanted, seen).lines
    first, *others = line.runs
    late = first._replace(segments=((first.deadline_s - HOUR_S, first.deadline_s + HOUR_S),))
    result = line_of(wanted, seen.actual, line.scenario, [late, *others]).result
    assert (result["jobs"], result["deadline_misses"]) == (3, 1)


def test_jobs_that_meet_a_gap_are_left_out_and_counted() -> None:
    values = DAY * 6
    values[50] = float("nan")  # the third day at 02:00, in the second night's window
    backtest = run_backtest(config(slacks=hours(2, 8)), grid(values))
    assert [line.result["jobs"] for line in backtest.lines] == [6 - 1, 6 - 1 - 1]  # the first ends when the gap begins
    assert backtest.notes == (
        "2 of 12 jobs pass the trace's end and are dropped",
        "1 of 12 jobs meet a gap of the trace before their deadline and are left out",
    )
    assert {line.result["captured_percent"] for line in backtest.lines} == {100.0}


def test_a_trace_too_short_for_any_job_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leaves no job to run"):
        run_backtest(config(slacks=hours(200)), grid(DAY * 3))


def test_combinations_without_a_job_have_no_figures_but_are_listed() -> None:
    long, short = (line.result for line in run_backtest(config(slacks=hours(200, 8)), grid(DAY * 3)).lines)
    assert (long["jobs"], long["saving_percent"], long["p95_wait_h"], long["deadline_misses"]) == (0, None, None, 0)
    assert short["jobs"] == 2
    assert pooled_captured_percent([long, short]) == 100.0


def test_the_starts_file_alone_gives_the_figures_again(tmp_path: Path) -> None:
    values = grid_like(30)
    wanted = config(policies=("window", "percentile"), durations=hours(1, 3), slacks=hours(4, 20), submit="random")
    backtest = run_backtest(wanted, grid(values, past=grid_like(8, seed=2)))
    write_starts(tmp_path / "starts.csv", backtest)
    with (tmp_path / "starts.csv").open() as file:
        rows = list(csv.DictReader(file))
    for line in backtest.lines:
        result = line.result
        mine = [
            r
            for r in rows
            if (r["policy"], float(r["duration_h"]), float(r["slack_h"]))
            == tuple(result[k] for k in ("policy", "duration_h", "slack_h"))
        ]
        ran = [mean(values, r["segment_start"], r["segment_end"]) for r in mine]
        assert sum(ran) / len(ran) == pytest.approx(result["policy_gco2eq_per_kwh"])
        waits = [(parse_time(r["segment_start"]) - parse_time(r["submit"])) / timedelta(hours=1) for r in mine]
        assert sum(waits) / len(waits) == pytest.approx(result["mean_wait_h"])
        assert all(parse_time(r["segment_end"]) <= parse_time(r["deadline"]) for r in mine)
        room = {parse_time(r["deadline"]) - parse_time(r["submit"]) for r in mine}
        assert room == {timedelta(hours=result["duration_h"] + result["slack_h"])}


def mean(values: list[float], start: str, end: str) -> float:
    begin, stop = ((parse_time(text) - SPRING) / timedelta(hours=1) for text in (start, end))
    return sum(max(0.0, min(stop, i + 1) - max(begin, i)) * value for i, value in enumerate(values)) / (stop - begin)


def test_more_slack_never_costs_more_with_perfect_foresight() -> None:
    lines = run_backtest(config(slacks=hours(2, 4, 8, 16, 32)), grid(grid_like(30))).lines
    per_night = [{run.submitted_s: value for run, value in zip(ln.runs, ln.policy, strict=True)} for ln in lines]
    for tight, loose in pairwise(per_night):
        assert all(loose[night] <= tight[night] + 1e-9 for night in loose)


@pytest.mark.parametrize("step_s", [1800.0, 900.0, 300.0])
def test_finer_traces_are_polled_at_their_step(step_s: float) -> None:
    times = round(HOUR_S / step_s)
    fine = grid([value for value in DAY * 3 for _ in range(times)], step_s=step_s)
    (line,) = run_backtest(config(), fine).lines
    (hourly,) = run_backtest(config(), grid(DAY * 3)).lines
    assert line.result == hourly.result
