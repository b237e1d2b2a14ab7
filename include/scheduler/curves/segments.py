"""Planning a job that may pause: in which segments of time to run, so that the least is emitted.

A segment after a pause begins with the resume: ``resume_time_s`` without work, on energy worth ``resume_energy_s`` at full
power at the mean intensity of that time (at its moment where the time is 0). Work draws full power. Costs are integrals of
intensity over time at full power, in g/kWh x s. Moments are UNIX seconds.
"""

from math import inf
from typing import Literal, NamedTuple

from include.scheduler.curves.curve import IntensityCurve

State = Literal["new", "running", "paused"]
Segment = tuple[float, float]

SAME_S = 1e-3


class Task(NamedTuple):
    """What is to be planned: so much work from ``now_s`` on, over by ``end_s``.

    ``pauses_left`` does not count a pause that has begun. ``slice_done_s`` is the work of the slice that runs.
    """

    now_s: float
    end_s: float
    work_s: float
    state: State
    minimum_slice_s: float
    resume_time_s: float
    resume_energy_s: float
    pauses_left: int
    slice_done_s: float = inf

    @property
    def work_from_s(self) -> float:
        """The first moment at which work can be done."""
        return self.now_s + (self.resume_time_s if self.state == "paused" else 0.0)

    @property
    def is_free(self) -> bool:
        """Whether pauses cost nothing: then the cheapest steps are the best plan."""
        return self.minimum_slice_s == self.resume_time_s == self.resume_energy_s == 0


class Plan(NamedTuple):
    """Segments in time order, resumes included, and what they cost."""

    segments: tuple[Segment, ...]
    cost: float


class Plans(NamedTuple):
    """``straight``: on from now without a pause. ``now``: the best that runs now. ``later``: the best that does not."""

    straight: Plan
    now: Plan
    later: Plan | None

    @property
    def runs_now(self) -> bool:
        """Whether no plan is better than the best that runs now; of equal ones the earliest is taken."""
        return self.later is None or self.now.cost <= _nearly(self.later.cost)

    @property
    def best(self) -> Plan:
        """The cheaper of the two."""
        return self.now if self.runs_now or self.later is None else self.later


def plans(curve: IntensityCurve, task: Task) -> Plans | None:
    """Return the best plans on a curve; None where it does not cover the time up to the end of the task.

    None of them ends later than ``end_s``, but for ``straight`` (and then ``now``) where the work does not fit.
    """
    straight_s = task.work_from_s + task.work_s
    if curve.mean_over(task.now_s, max(straight_s, task.end_s)) is None:
        return None
    straight = priced(curve, task, ((task.now_s, straight_s),))
    if task.work_s <= SAME_S or task.end_s <= straight_s + SAME_S:
        return Plans(straight, straight, None)
    now, later = _searched(curve, task, straight)
    block = _block(curve, task)
    if block is not None and (later is None or _is_better(block, later)):
        later = block
    if now is None or straight.cost <= now.cost:
        now = straight
    return Plans(straight, now, later)


def priced(curve: IntensityCurve, task: Task, segments: tuple[Segment, ...]) -> Plan:
    """Return segments with their cost, resumes included.

    :raises ValueError: the curve does not cover them.
    """
    cost = 0.0
    for i, (start_s, end_s) in enumerate(segments):
        if i > 0 or task.state == "paused" or (task.state == "running" and start_s > task.now_s + SAME_S):
            cost += resume_cost(curve, task, start_s)
            start_s += task.resume_time_s  # noqa: PLW2901 the work begins after the resume
        mean = curve.mean_over(start_s, end_s)
        if mean is None:
            raise ValueError(f"the curve does not cover {start_s} to {end_s}")
        cost += mean * (end_s - start_s)
    return Plan(segments, cost)


def resume_cost(curve: IntensityCurve, task: Task, start_s: float) -> float:
    """Return the cost of a resume that begins at ``start_s``.

    :raises ValueError: the curve does not cover it.
    """
    if task.resume_energy_s == 0:
        return 0.0
    span_s = task.resume_time_s
    mean = curve.mean_over(start_s, start_s + span_s) if span_s > 0 else curve.value_at(start_s)
    if mean is None:
        raise ValueError(f"the curve does not cover a resume at {start_s}")
    return task.resume_energy_s * mean


def _nearly(cost: float) -> float:
    """Return a cost with room for the rounding of sums."""
    return cost * (1.0 + 1e-9) + 1e-6


def _is_better(plan: Plan, other: Plan) -> bool:
    """Whether a plan costs less, or as much and begins no later."""
    if plan.cost <= _nearly(other.cost) and plan.segments[0][0] <= other.segments[0][0]:
        return True
    return _nearly(plan.cost) < other.cost


def _searched(curve: IntensityCurve, task: Task, straight: Plan) -> tuple[Plan | None, Plan | None]:
    if task.is_free:
        cheapest = priced(curve, task, cheapest_steps(curve, task))
        if pauses(task, cheapest.segments) <= task.pauses_left:
            begins_now = cheapest.segments[0][0] <= task.now_s + SAME_S
            return (cheapest, None) if begins_now else (straight, cheapest)
    if task.pauses_left == 0 and task.state == "running":
        return None, None
    from include.scheduler.curves.segment_search import search  # noqa: PLC0415 numpy: only where a job may pause

    return search(curve, task)


def _block(curve: IntensityCurve, task: Task) -> Plan | None:
    """Return the best block without a pause that begins later, exact to the second; only for a job that has not begun."""
    if task.state != "new":
        return None
    block = curve.best_start(task.now_s, task.end_s - task.work_s, task.work_s)
    if block is None or block.start_s <= task.now_s + SAME_S:
        return None
    return priced(curve, task, ((block.start_s, block.start_s + task.work_s),))


def pauses(task: Task, segments: tuple[Segment, ...]) -> int:
    """Return how many pauses a plan begins."""
    pauses_now = task.state == "running" and segments[0][0] > task.now_s + SAME_S
    return len(segments) - 1 + pauses_now


def cheapest_steps(curve: IntensityCurve, task: Task) -> tuple[Segment, ...]:
    """Return the cheapest steps before the end, of equal ones the earliest: the best plan where pauses cost nothing."""
    spans = (
        (value, max(start, task.now_s), min(end, task.end_s))
        for start, end, value in zip(curve.edges_s, curve.edges_s[1:], curve.values, strict=False)
    )
    left_s, taken = task.work_s, []
    for _, start_s, end_s in sorted(span for span in spans if span[1] < span[2]):
        used_s = min(left_s, end_s - start_s)
        taken.append((start_s, start_s + used_s))
        left_s -= used_s
        if left_s <= 0:
            break
    return _joined(sorted(taken))


def _joined(segments: list[Segment]) -> tuple[Segment, ...]:
    joined: list[Segment] = []
    for start_s, end_s in segments:
        if joined and start_s - joined[-1][1] <= SAME_S:
            joined[-1] = (joined[-1][0], end_s)
        else:
            joined.append((start_s, end_s))
    return tuple(joined)
