"""The figures of a backtest: what every scenario's jobs emitted, against starting at once and perfect foresight."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowtide.config.schema import PausingConfig
from lowtide.errors import ConfigurationError
from lowtide.io import write_atomically
from lowtide.scheduler.backtest.simulate import Run, Scenario, SimConfig, choose_jobs, perfect_foresight, simulate_jobs
from lowtide.scheduler.backtest.trace import HOUR_S, ActualTrace, Floats, Grid
from lowtide.scheduler.types import utc
from lowtide.timeutil import format_time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One scenario: its runs, and one value a job of each figure; intensities in g per useful kWh.

    ``result`` has the scenario's figures as JSON has them.
    """

    scenario: Scenario
    runs: Sequence[Run]
    run_now: Floats
    policy: Floats
    wait_s: Floats
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """A backtest that has been run; ``notes`` are what the user must know beside the figures, a sentence each."""

    config: SimConfig
    grid: Grid
    lines: Sequence[Line]
    notes: tuple[str, ...]


def run_backtest(config: SimConfig, grid: Grid, *, workers: int | None = None) -> Backtest:
    """Run a backtest: every job through decide(), then the figures of every scenario.

    :param workers: processes; None: as many as pay off. They do not change a figure.
    :raises ConfigurationError: no job of any scenario can be run on the trace.
    """
    submitted_s, notes = choose_jobs(config, grid.actual)
    if not any(times.size for times in submitted_s):
        why = "; ".join(notes) or "no submission falls into the trace"
        raise ConfigurationError(
            f"the trace leaves no job to run ({why}); give a longer trace, shorter slacks or durations"
        )
    found = simulate_jobs(config, grid, submitted_s, workers=workers)
    lines = [line_of(config, grid.actual, *pair) for pair in zip(config.scenarios(), found, strict=True)]
    return Backtest(config=config, grid=grid, lines=lines, notes=(*grid.notes, *notes))


def line_of(config: SimConfig, actual: ActualTrace, scenario: Scenario, runs: Sequence[Run]) -> Line:
    """Return a scenario's figures from when its jobs ran."""
    submitted = np.array([run.submitted_s for run in runs])
    ended = np.array([run.segments[-1][1] for run in runs])
    run_now = actual.mean(submitted, submitted + scenario.duration_s)
    policy = emitted(actual, runs, scenario.duration_s, config.pausing)
    foresight = perfect_foresight(config, actual, scenario, submitted)
    wait_s = ended - submitted - scenario.duration_s
    late = ended > np.array([run.deadline_s for run in runs]) + 1.0
    saving, possible = (_saving_percent(_mean(values), _mean(run_now)) for values in (policy, foresight))
    result = {
        "zone": config.zone,
        "policy": scenario.policy,
        "duration_h": scenario.duration_s / HOUR_S,
        "slack_h": scenario.slack_s / HOUR_S,
        "submit": config.submit,
        "interruptible": scenario.interruptible,
        "jobs": len(runs),
        "run_now_gco2eq_per_kwh": _mean(run_now),
        "policy_gco2eq_per_kwh": _mean(policy),
        "oracle_gco2eq_per_kwh": _mean(foresight),
        "saving_percent": saving,
        "oracle_saving_percent": possible,
        "captured_percent": share_percent(saving, possible),
        "mean_wait_h": _mean(wait_s, HOUR_S),
        "p95_wait_h": float(np.percentile(wait_s, 95)) / HOUR_S if runs else None,
        "deadline_misses": int(late.sum()),
        "mean_segments": _mean(np.array([float(len(run.segments)) for run in runs])),
    }
    return Line(scenario=scenario, runs=runs, run_now=run_now, policy=policy, wait_s=wait_s, result=result)


# The figures' parts, and the file of starts.


def emitted(actual: ActualTrace, runs: Sequence[Run], duration_s: float, limits: PausingConfig) -> Floats:
    """Return the emissions of each run per useful kWh, in g/kWh, at constant power.

    The energy of resuming is emitted too, and no work is done by it: the sum is divided by the useful time only.
    """
    if not runs:
        return np.empty(0)
    segments = [(i, k > 0, *segment) for i, run in enumerate(runs) for k, segment in enumerate(run.segments)]
    job, resumed, start_s, end_s = (np.array(column) for column in zip(*segments, strict=True))
    resume_s = limits.resume_time.total_seconds()
    grams = actual.integral(start_s + resumed * resume_s, end_s)
    begun_s = start_s[resumed]
    at_once = [actual.curve.value_at(time_s) or 0.0 for time_s in begun_s.tolist()]
    while_resuming = actual.mean(begun_s, begun_s + resume_s) if resume_s > 0 else np.array(at_once)
    grams[resumed] += limits.resume_energy.total_seconds() * while_resuming
    return np.bincount(job, weights=grams, minlength=len(runs)) / duration_s


def pooled_captured_percent(results: Sequence[dict[str, Any]]) -> float | None:
    """Return the share that several lines capture together: the sum of savings over the sum of those with perfect foresight."""
    known = [result for result in results if result["saving_percent"] is not None]
    saving, possible = (sum(result[key] for result in known) for key in ("saving_percent", "oracle_saving_percent"))
    return share_percent(saving, possible)


def share_percent(part: float | None, whole: float | None) -> float | None:
    """Return 100 x part / whole; None where either is missing or there is no whole to speak of."""
    return None if part is None or whole is None or abs(whole) < 1e-9 else 100.0 * part / whole


def _saving_percent(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 100.0 * (1.0 - value / reference)


def _mean(values: Floats, unit: float = 1.0) -> float | None:
    return float(values.mean()) / unit if len(values) else None


def write_starts(path: Path, backtest: Backtest) -> None:
    """Write one CSV row per job and segment, so that anyone can recompute the figures; times are ISO-8601 in UTC.

    :raises ArtifactError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("policy", "duration_h", "slack_h", "submit", "deadline", "segment_start", "segment_end"))
    for line in backtest.lines:
        hours = (f"{s / HOUR_S:.10g}" for s in (line.scenario.duration_s, line.scenario.slack_s))
        shape = (line.scenario.policy, *hours)
        for run in line.runs:
            for segment in run.segments:
                times = (run.submitted_s, run.deadline_s, *segment)
                writer.writerow((*shape, *(format_time(utc(time_s)) for time_s in times)))
    write_atomically(path, text.getvalue())
