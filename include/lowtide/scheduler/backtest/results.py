"""The figures of a backtest: emissions of every combination against starting at once and against perfect knowledge."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lowtide.errors import ConfigurationError
from lowtide.grid.planner import Task, plans
from lowtide.io import write_atomically
from lowtide.scheduler.backtest.simulate import (
    ActualTrace,
    Counts,
    Floats,
    Grid,
    Jobs,
    Run,
    Scenario,
    SimConfig,
    choose_jobs,
    emitted,
    simulate_jobs,
)
from lowtide.scheduler.job import PausingLimits
from lowtide.timeutil import format_moment

# The figures of one combination: what its jobs emitted per useful kWh, against starting at once and perfect knowledge.


HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What became of the jobs of one combination, one value a job; intensities in g per useful kWh."""

    run_now: Floats
    policy: Floats
    oracle: Floats
    wait_s: Floats
    overrun_s: Floats
    segments: Floats


def result_of(config: SimConfig, scenario: Scenario, outcomes: Outcomes) -> dict[str, Any]:
    """Return one combination's figures, as JSON has them; None where there was no job, or nothing to save."""
    run_now, policy, oracle = (_mean(v) for v in (outcomes.run_now, outcomes.policy, outcomes.oracle))
    saving, possible = _saving_percent(policy, run_now), _saving_percent(oracle, run_now)
    return {
        "zone": config.zone,
        "policy": scenario.policy,
        "duration_h": scenario.duration_s / HOUR_S,
        "slack_h": scenario.slack_s / HOUR_S,
        "submit": config.submit,
        "interruptible": scenario.interruptible,
        "jobs": len(outcomes.run_now),
        "run_now_gco2eq_per_kwh": run_now,
        "policy_gco2eq_per_kwh": policy,
        "oracle_gco2eq_per_kwh": oracle,
        "saving_percent": saving,
        "oracle_saving_percent": possible,
        "captured_percent": share_percent(saving, possible),
        "mean_wait_h": _hours(_mean(outcomes.wait_s)),
        "p95_wait_h": _hours(float(np.percentile(outcomes.wait_s, 95)) if len(outcomes.wait_s) else None),
        "deadline_misses": int((outcomes.overrun_s > 1.0).sum()),
        "mean_segments": _mean(outcomes.segments),
    }


class Pooled(NamedTuple):
    """Several lines together: mean savings in percent, and the sum of savings over the sum of the oracle's."""

    saving: float | None
    oracle: float | None
    captured: float | None


def pooled(results: Sequence[dict[str, Any]]) -> Pooled:
    """Return what lines come to together; a line without a saving is passed over."""
    known = [(r["saving_percent"], r["oracle_saving_percent"]) for r in results if r["saving_percent"] is not None]
    if not known:
        return Pooled(None, None, None)
    saving, oracle = (sum(column) / len(known) for column in zip(*known, strict=True))
    return Pooled(saving, oracle, share_percent(saving, oracle))


def share_percent(part: float | None, whole: float | None) -> float | None:
    """Return 100 x part / whole; None where either is missing or there is no whole to speak of."""
    return None if part is None or whole is None or abs(whole) < 1e-9 else 100.0 * part / whole


def _saving_percent(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 100.0 * (1.0 - value / reference)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / HOUR_S


# Perfect knowledge for jobs that run in one piece: the cleanest block between submission and deadline.


def best_blocks(actual: ActualTrace, submitted_s: Floats, latest_start_s: Floats, duration_s: float) -> Floats:
    """Return the least mean intensity of a block of ``duration_s`` for each job, in g/kWh. Exact.

    The mean is piecewise linear in the start, so it is least where a block begins or ends at a step's edge, or at the
    ends of the range. Where submission and duration fall on the trace's steps that is every step from submission on.
    """
    starts = [submitted_s, latest_start_s]
    longest_s = float(np.max(latest_start_s - submitted_s, initial=0.0))
    for shift_s in {0.0, duration_s % actual.step_s}:
        first = submitted_s + (actual.start_s - shift_s - submitted_s) % actual.step_s
        steps = np.arange(int(longest_s // actual.step_s) + 1) * actual.step_s
        starts.extend(np.minimum(first + step, latest_start_s) for step in steps)
    candidates = np.stack(starts, axis=1)
    best: Floats = actual.mean(candidates, candidates + duration_s).min(axis=1)
    return best


# Perfect knowledge for jobs that may pause: the planner's best segments on the trace itself, pauses paid for.


def best_segments(
    actual: ActualTrace, submitted_s: Floats, room_s: float, duration_s: float, limits: PausingLimits
) -> Floats:
    """Return the least emissions of each job per useful kWh, in g/kWh.

    :param room_s: from submission to deadline, the same for all jobs; a job that does not fit runs at once.
    """
    return np.array([_least(actual, float(at_s), room_s, duration_s, limits) for at_s in submitted_s]) / duration_s


def _least(actual: ActualTrace, submitted_s: float, room_s: float, duration_s: float, limits: PausingLimits) -> float:
    task = Task(
        now_s=submitted_s,
        end_s=submitted_s + room_s,
        work_s=duration_s,
        state="new",
        minimum_slice_s=limits.minimum_slice.total_seconds(),
        resume_time_s=limits.resume_time.total_seconds(),
        resume_energy_s=limits.resume_energy.total_seconds(),
        pauses_left=limits.maximum_pauses,
    )
    found = plans(actual.curve_between(submitted_s, submitted_s + max(room_s, duration_s)), task)
    if found is None:
        raise ValueError(f"the trace has a gap before the deadline of the job submitted at {submitted_s:.0f} s")
    return found.best.cost


# Runs a backtest: every job through decide(), then the figures of every combination.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One combination: its runs, what became of them, and its figures as JSON has them."""

    scenario: Scenario
    runs: Sequence[Run]
    outcomes: Outcomes
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """A backtest that has been run."""

    config: SimConfig
    grid: Grid
    lines: Sequence[Line]
    counts: Counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must know beside the figures, a sentence each."""
        return (*self.grid.notes, *self.counts.sentences())


def run_backtest(config: SimConfig, grid: Grid, *, workers: int | None = None) -> Backtest:
    """Run a backtest.

    :param workers: processes; None: as many as pay off. They do not change a figure.
    :raises ConfigurationError: no job of any combination can be run on the trace.
    """
    jobs = choose_jobs(config, grid.actual)
    if not any(chosen.any() for chosen in jobs.chosen):
        raise ConfigurationError(_nothing_to_run(jobs))
    placed = simulate_jobs(config, grid, jobs, workers=workers)
    lines = [_line(config, grid.actual, *found) for found in zip(config.scenarios(), placed, strict=True)]
    return Backtest(config=config, grid=grid, lines=lines, counts=jobs.counts)


def _nothing_to_run(jobs: Jobs) -> str:
    told = "; ".join(jobs.counts.sentences()) or "no submission falls into the trace"
    return f"the trace leaves no job to run ({told}); give a longer trace, shorter slacks or durations"


def _line(config: SimConfig, actual: ActualTrace, scenario: Scenario, runs: Sequence[Run]) -> Line:
    outcomes = _outcomes(config, actual, scenario, runs)
    return Line(scenario=scenario, runs=runs, outcomes=outcomes, result=result_of(config, scenario, outcomes))


def _outcomes(config: SimConfig, actual: ActualTrace, scenario: Scenario, runs: Sequence[Run]) -> Outcomes:
    real_s = scenario.duration_s * config.duration_error
    submitted = np.array([run.submitted_s for run in runs])
    deadline = np.array([run.deadline_s for run in runs])
    ended = np.array([run.segments[-1][1] for run in runs])
    return Outcomes(
        run_now=actual.mean(submitted, submitted + real_s),
        policy=emitted(actual, runs, real_s, config.pausing),
        oracle=_oracle(config, actual, scenario, submitted),
        wait_s=ended - submitted - real_s,
        overrun_s=ended - deadline,
        segments=np.array([float(len(run.segments)) for run in runs]),
    )


def _oracle(config: SimConfig, actual: ActualTrace, scenario: Scenario, submitted: Floats) -> Floats:
    real_s = scenario.duration_s * config.duration_error
    room_s = scenario.duration_s + scenario.slack_s
    best = best_blocks(actual, submitted, submitted + max(0.0, room_s - real_s), real_s)
    if not scenario.interruptible:
        return best
    # a block may begin within a step of the planner, so it is compared too
    return np.minimum(best, best_segments(actual, submitted, room_s, real_s, config.pausing))


# Writes when every job ran, so that anyone can recompute the figures.


COLUMNS = ("policy", "duration_h", "slack_h", "submit", "deadline", "segment_start", "segment_end")


def write_starts(path: Path, runs: Sequence[tuple[Scenario, Sequence[Run]]]) -> None:
    """Write one CSV row per job and segment; moments are ISO-8601 in UTC.

    :raises ArtifactError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scenario, placed in runs:
        shape = (scenario.policy, f"{scenario.duration_s / HOUR_S:.10g}", f"{scenario.slack_s / HOUR_S:.10g}")
        for run in placed:
            times = (_moment(run.submitted_s), _moment(run.deadline_s))
            writer.writerows((*shape, *times, _moment(start), _moment(end)) for start, end in run.segments)
    write_atomically(path, text.getvalue())


def _moment(seconds: float) -> str:
    return format_moment(datetime.fromtimestamp(seconds, UTC))
