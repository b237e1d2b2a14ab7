"""Perfect knowledge for jobs that may pause: the cheapest slots between submission and deadline, pauses paid for.

A dynamic program over the slots, exact for work in whole slots that ends anywhere. Its state is how many slots have been
worked and how often was paused; all jobs of one shape go through it together.
"""

from math import ceil, gcd, inf

import numpy as np

from include.scheduler.backtest.costs import PauseCosts
from include.scheduler.backtest.slot_search import SlotSearch
from include.scheduler.backtest.truth import Floats, Truth

_STATES_AT_ONCE = 200_000
_FINER = ((6 * 3600.0, 900), (24 * 3600.0, 1800), (inf, 3600))
_FINEST_SHARE = 12
"""A slot is a twelfth of the trace's step at least: a duration of 61 minutes must not make slots of one."""


def best_slots(truth: Truth, submitted_s: Floats, room_s: float, duration_s: float, costs: PauseCosts) -> Floats:
    """Return the least emissions of each job per useful kWh, in g/kWh.

    :param room_s: from submission to deadline, the same for all jobs; a job that does not fit runs at once.
    """
    slot_s = slot_length(truth, submitted_s, duration_s)
    count = max(int(room_s / slot_s + 1e-9), ceil(duration_s / slot_s - 1e-9))
    edges = submitted_s[:, None] + slot_s * np.arange(count + 1)
    until_s = np.minimum(edges, truth.end_s)
    sums = truth.integral(submitted_s[:, None], until_s)
    states = (duration_s / slot_s + 1) * (costs.maximum_pauses + 1)
    parts = np.array_split(sums, max(1, ceil(len(sums) * states / _STATES_AT_ONCE)))
    found = [SlotSearch(part, slot_s, duration_s, costs).best() for part in parts if len(part)]
    return np.concatenate(found) / duration_s if found else np.empty(0)


def slot_length(truth: Truth, submitted_s: Floats, duration_s: float) -> float:
    """Return the longest slot that divides the trace's step, the duration and the way from a step's edge to submission.

    Shorter jobs get finer slots: with little slack it matters when the minutes of a resume are made up for.
    """
    offsets = {round(float(offset)) for offset in (submitted_s - truth.start_s) % truth.step_s}
    wanted = next(slot_s for limit_s, slot_s in _FINER if duration_s <= limit_s)
    slot = gcd(round(truth.step_s), round(duration_s), wanted, *offsets)
    return float(max(slot, round(truth.step_s / _FINEST_SHARE), 1))
