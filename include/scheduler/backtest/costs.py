"""What a run emitted per useful kWh, with what each resumption really cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from include.scheduler.backtest.runs import Run
from include.scheduler.backtest.truth import Floats, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseCosts:
    """What pausing costs, in seconds.

    After each pause ``resume_time_s`` passes without work, on the energy of ``resume_energy_s`` at full power. A slice
    holds work for ``minimum_slice_s`` at least, unless the whole job is shorter.
    """

    minimum_slice_s: float = 0.0
    resume_time_s: float = 0.0
    resume_energy_s: float = 0.0
    maximum_pauses: int = 0

    def resuming(self, truth: Truth, start_s: Floats) -> Floats:
        """Return the integral of intensity over the full-power seconds that a resumption at each moment is worth."""
        if self.resume_time_s > 0:
            return self.resume_energy_s * truth.mean(start_s, start_s + self.resume_time_s)
        return self.resume_energy_s * truth.at(start_s)


def emitted(truth: Truth, runs: Sequence[Run], duration_s: float, costs: PauseCosts) -> Floats:
    """Return the emissions of each run per useful kWh, in g/kWh, at constant power.

    The energy of resuming is emitted too, and no work is done by it: the sum is divided by the useful time only.
    """
    if not runs:
        return np.empty(0)
    segments = [(i, k > 0, *segment) for i, run in enumerate(runs) for k, segment in enumerate(run.segments)]
    job, resumed, start_s, end_s = (np.array(column) for column in zip(*segments, strict=True))
    grams = truth.integral(start_s + resumed * costs.resume_time_s, end_s)
    if resumed.any():
        grams[resumed] += costs.resuming(truth, start_s[resumed])
    return np.bincount(job, weights=grams, minlength=len(runs)) / duration_s
