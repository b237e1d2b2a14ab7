"""The oracle of a backtest: what each job could have emitted with perfect knowledge of the future."""

import numpy as np

from lowtide.config.schema import PausingConfig
from lowtide.grid.planner import Task, plans
from lowtide.scheduler.backtest.simulate import Scenario, SimConfig
from lowtide.scheduler.backtest.trace import ActualTrace, Floats


def oracle_gco2eq_per_kwh(config: SimConfig, actual: ActualTrace, scenario: Scenario, submitted_s: Floats) -> Floats:
    """Return the least that each job could have emitted per useful kWh by its deadline, in g/kWh."""
    duration_s = scenario.duration_s
    best = best_blocks(actual, submitted_s, submitted_s + scenario.slack_s, duration_s)
    if not scenario.interruptible:
        return best
    # a block may begin within a step of the planner, so it is compared too
    return np.minimum(best, best_segments(actual, submitted_s, scenario.room_s, duration_s, config.pausing))


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


def best_segments(
    actual: ActualTrace, submitted_s: Floats, room_s: float, duration_s: float, limits: PausingConfig
) -> Floats:
    """Return the least emissions of each job that may pause per useful kWh, in g/kWh; what resuming costs is counted.

    :param room_s: from submission to deadline, the same for all jobs; a job that does not fit runs at once.
    """
    costs = [_least(actual, time_s, room_s, duration_s, limits) for time_s in submitted_s.tolist()]
    return np.array(costs) / duration_s


def _least(actual: ActualTrace, submitted_s: float, room_s: float, duration_s: float, limits: PausingConfig) -> float:
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
    last = actual.row_of(submitted_s + max(room_s, duration_s)) + 1
    found = plans(actual.rows(actual.row_of(submitted_s), last), task)
    if found is None:
        raise ValueError(f"the trace has a gap before the deadline of the job submitted at {submitted_s:.0f} s")
    return found.best.cost
