"""The dynamic program behind the oracle that may pause."""

from collections import deque
from math import ceil, floor

import numpy as np

from include.scheduler.backtest.costs import PauseCosts
from include.scheduler.backtest.truth import Floats

_TINY = 1e-9


class SlotSearch:
    """Finds the cheapest slots for jobs of one shape.

    Work is done in whole slots, but for the last, which ends with the work; a resume is over when its slot begins. States
    are jobs x slots worked x pauses: ``on`` while running, ``off`` while paused. A slice is entered for as many slots as it
    must last, so that no state has to remember how long it has run.

    :param sums: the integral of intensity from submission to each slot's edge, one row a job, in g/kWh x s.
    """

    def __init__(self, sums: Floats, slot_s: float, work_s: float, costs: PauseCosts) -> None:
        self._sums, self._slot_s, self._costs = sums, slot_s, costs
        self._count = sums.shape[1] - 1
        self._need = work_s / slot_s - np.arange(ceil(work_s / slot_s - _TINY))
        self._least = min(work_s, costs.minimum_slice_s) / slot_s
        self._entry = max(1, ceil(self._least - _TINY))
        self._gap = floor(costs.resume_time_s / slot_s + _TINY) + 1  # a pause no longer than its resume is none
        self._best = np.full(len(sums), np.inf)

    def best(self) -> Floats:
        """Return the least integral of intensity over full-power seconds for each job."""
        layers = min(self._costs.maximum_pauses, self._count) + 1
        on = np.full((len(self._sums), len(self._need), layers), np.inf)
        off = on
        paused: deque[Floats] = deque(maxlen=self._entry + self._gap)
        for t in range(self._count):
            off = np.minimum(off, on)
            paused.append(off)
            self._end_first_slice(t)
            self._end_running(on, t)
            if len(paused) > self._gap:
                self._end_later_slice(paused[-1 - self._gap], t)
            on = self._run_on(on, paused, t)
        return self._best

    def _run_on(self, on: Floats, paused: "deque[Floats]", t: int) -> Floats:
        """Return the running states at the end of slot ``t``: run on through it, or entered some slots before."""
        following = np.full_like(on, np.inf)
        following[:, 1:] = on[:, :-1] + self._between(t, t + 1)[:, None, None]
        begun, entry = t + 1 - self._entry, self._entry
        if begun < 0 or entry >= following.shape[1]:
            return following
        through = self._between(begun, t + 1)
        following[:, entry, 0] = np.minimum(following[:, entry, 0], through)
        if len(paused) == entry + self._gap:
            resumed = paused[0][:, :-entry, :-1] + (self._resuming(begun) + through)[:, None, None]
            following[:, entry:, 1:] = np.minimum(following[:, entry:, 1:], resumed)
        return following

    def _end_running(self, on: Floats, t: int) -> None:
        """End in slot ``t`` what has one slot's work or less to do."""
        self._note(on[:, -1].min(axis=1) + self._between(t, t + float(self._need[-1])))

    def _end_first_slice(self, t: int) -> None:
        """End in the slice that begins at ``t``, for jobs that are no longer than a slice must be."""
        need = float(self._need[0])
        if need <= self._entry + _TINY and t + need <= self._count + _TINY:
            self._note(self._between(t, t + need))

    def _end_later_slice(self, off: Floats, t: int) -> None:
        """End in the slice that is resumed at ``t``; the last slice too holds as much work as a slice must."""
        if off.shape[2] == 1:
            return
        for slots in np.flatnonzero((self._need <= self._entry + _TINY) & (self._need >= self._least - _TINY)):
            end = t + float(self._need[slots])
            if end <= self._count + _TINY:
                self._note(off[:, slots, :-1].min(axis=1) + self._resuming(t) + self._between(t, end))

    def _resuming(self, t: int) -> Floats:
        """Return what the resume before slot ``t`` emits, as full-power seconds x g/kWh."""
        over = self._costs.resume_time_s / self._slot_s
        if over == 0:  # a resume that takes no time is booked at the intensity of its moment
            return self._costs.resume_energy_s / self._slot_s * self._between(t, t + 1)
        return self._costs.resume_energy_s / self._costs.resume_time_s * self._between(t - over, t)

    def _between(self, begin: float, end: float) -> Floats:
        return self._up_to(end) - self._up_to(begin)

    def _up_to(self, edge: float) -> Floats:
        whole = min(int(edge), self._count - 1)
        sums = self._sums
        return np.asarray(sums[:, whole] + (edge - whole) * (sums[:, whole + 1] - sums[:, whole]))

    def _note(self, ends: Floats) -> None:
        np.minimum(self._best, ends, out=self._best)
