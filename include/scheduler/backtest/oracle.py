"""Perfect knowledge for jobs that run in one piece: the cleanest block between submission and deadline."""

import numpy as np

from include.scheduler.backtest.truth import Floats, Truth


def best_blocks(truth: Truth, submitted_s: Floats, latest_start_s: Floats, duration_s: float) -> Floats:
    """Return the least mean intensity of a block of ``duration_s`` for each job, in g/kWh. Exact.

    The mean is piecewise linear in the start, so it is least where a block begins or ends at a step's edge, or at the
    ends of the range. Where submission and duration fall on the trace's steps that is every step from submission on.
    """
    starts = [submitted_s, latest_start_s]
    longest_s = float(np.max(latest_start_s - submitted_s, initial=0.0))
    for shift_s in {0.0, duration_s % truth.step_s}:
        first = submitted_s + (truth.start_s - shift_s - submitted_s) % truth.step_s
        steps = np.arange(int(longest_s // truth.step_s) + 1) * truth.step_s
        starts.extend(np.minimum(first + step, latest_start_s) for step in steps)
    candidates = np.stack(starts, axis=1)
    best: Floats = truth.mean(candidates, candidates + duration_s).min(axis=1)
    return best
