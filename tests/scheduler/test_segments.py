"""Plans with pauses against brute force over every pattern of slots, and what must hold of any of them."""

import itertools
from math import ceil, floor, inf

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lowtide.grid.planner import Segment, State, Task, grid_s, pauses, plans, priced
from lowtide.grid.series import IntensityCurve

SLOT = 900.0
BEGIN = 1_700_000_100.0 // SLOT * SLOT


@st.composite
def tasks(draw: st.DrawFn, most_slots: int = 9) -> tuple[IntensityCurve, Task]:
    slots = draw(st.integers(2, most_slots))
    values = draw(st.lists(st.integers(0, 9).map(lambda v: 10.0 * v), min_size=slots, max_size=slots))
    state: State = draw(st.sampled_from(["new", "running", "paused"]))
    resume = st.sampled_from([0.0, SLOT, 2 * SLOT] if state == "paused" else [0.0, 300.0, SLOT, 1200.0])
    task = Task(
        now_s=BEGIN,
        end_s=BEGIN + slots * SLOT,
        work_s=draw(st.integers(1, slots)) * SLOT,
        state=state,
        minimum_slice_s=draw(st.sampled_from([0.0, SLOT, 1000.0, 2 * SLOT])),
        resume_time_s=draw(resume),
        resume_energy_s=draw(st.sampled_from([0.0, 100.0, 900.0])),
        pauses_left=draw(st.integers(0, 5)),
        slice_done_s=draw(st.sampled_from([0.0, SLOT, inf])),
    )
    assume(task.work_from_s + task.work_s <= task.end_s)
    return IntensityCurve([BEGIN + i * SLOT for i in range(slots + 1)], values), task


def brute_force(curve: IntensityCurve, task: Task) -> float:
    """The least cost of all patterns of slots that keep to the rules."""
    first, last = (round((time - BEGIN) / SLOT) for time in (task.work_from_s, task.end_s))
    patterns = itertools.combinations(range(first, last), round(task.work_s / SLOT))
    allowed = (segments for pattern in patterns if (segments := _segments(task, pattern)) is not None)
    return min(priced(curve, task, segments).cost for segments in allowed)


def _segments(task: Task, pattern: tuple[int, ...]) -> tuple[Segment, ...] | None:
    runs = _runs(pattern)
    pauses_now = task.state == "running" and runs[0][0] > 0
    gap = floor(task.resume_time_s / SLOT + 1e-9) + 1
    if pauses_now and (runs[0][0] < gap or task.slice_done_s < task.minimum_slice_s):
        return None
    if len(runs) - 1 + pauses_now > task.pauses_left:
        return None
    if any(later[0] - earlier[1] < gap for earlier, later in itertools.pairwise(runs)):
        return None
    if (len(runs) > 1 or pauses_now) and not _are_slices(task, runs):
        return None
    resumed = [task.state == "paused" or pauses_now, *[True] * (len(runs) - 1)]
    return tuple(
        (BEGIN + a * SLOT - task.resume_time_s * resumes, BEGIN + b * SLOT)
        for (a, b), resumes in zip(runs, resumed, strict=True)
    )


def _runs(pattern: tuple[int, ...]) -> list[list[int]]:
    runs: list[list[int]] = []
    for slot in pattern:
        if runs and runs[-1][1] == slot:
            runs[-1][1] = slot + 1
        else:
            runs.append([slot, slot + 1])
    return runs


def _are_slices(task: Task, runs: list[list[int]]) -> bool:
    least = ceil(task.minimum_slice_s / SLOT - 1e-9)
    lengths = [b - a for a, b in runs]
    if task.state == "running" and runs[0][0] == 0:
        is_slice = lengths[0] * SLOT + task.slice_done_s >= task.minimum_slice_s
        lengths[0] = least if is_slice else 0
    return min(lengths) >= least


@settings(max_examples=300, deadline=None)
@given(tasks())
def test_no_pattern_of_slots_is_cheaper_than_the_plan(case: tuple[IntensityCurve, Task]) -> None:
    curve, task = case
    found = plans(curve, task)
    assert found is not None
    assert found.best.cost == pytest.approx(brute_force(curve, task), abs=1e-3)


@settings(max_examples=200, deadline=None)
@given(tasks(most_slots=30), st.integers(0, 899), st.integers(0, 899))
def test_a_plan_does_all_the_work_within_its_time_and_limits(
    case: tuple[IntensityCurve, Task], late: int, less: int
) -> None:
    curve, task = case
    task = task._replace(now_s=task.now_s + late, work_s=task.work_s - less)
    assume(task.work_from_s + task.work_s <= task.end_s)
    found = plans(curve, task)
    assert found is not None
    for plan in filter(None, (found.now, found.later, found.straight)):
        starts_with_resume = task.state == "paused" or (task.state == "running" and plan.segments[0][0] > task.now_s)
        resumes = len(plan.segments) - 1 + starts_with_resume
        total = sum(end - start for start, end in plan.segments) - resumes * task.resume_time_s
        assert total == pytest.approx(task.work_s, abs=1e-3)
        assert task.now_s <= plan.segments[0][0]
        assert plan.segments[-1][1] <= task.end_s + 1e-3
        assert all(later[0] > earlier[1] for earlier, later in itertools.pairwise(plan.segments))
        assert pauses(task, plan.segments) <= task.pauses_left
    assert found.now.segments[0][0] == task.now_s
    assert found.later is None or found.later.segments[0][0] > task.now_s


@settings(max_examples=200, deadline=None)
@given(tasks(most_slots=30))
def test_a_pause_never_costs_more_than_it_saves(case: tuple[IntensityCurve, Task]) -> None:
    curve, task = case
    found = plans(curve, task)
    assert found is not None
    assert found.best.cost <= found.straight.cost * (1 + 1e-9) + 1e-6
    if task.state == "new":
        block = curve.best_start(task.now_s, task.end_s - task.work_s, task.work_s)
        assert block is not None
        assert found.best.cost <= block.mean_gco2eq_per_kwh * task.work_s * (1 + 1e-9) + 1e-3
    dearer = plans(curve, task._replace(resume_energy_s=task.resume_energy_s + 300.0))
    assert dearer is not None
    assert dearer.best.cost >= found.best.cost * (1 - 1e-9) - 1e-3


@settings(max_examples=200, deadline=None)
@given(tasks(most_slots=30), st.integers(0, 20_000))
def test_more_time_never_makes_a_plan_dearer(case: tuple[IntensityCurve, Task], less: int) -> None:
    curve, task = case
    tight = task._replace(end_s=max(task.work_from_s + task.work_s, task.end_s - less))
    long, short = plans(curve, task), plans(curve, tight)
    assert long is not None
    assert short is not None
    assert long.best.cost <= short.best.cost * (1 + 1e-6) + 1e-3


def test_where_pauses_are_free_the_cheapest_steps_are_taken() -> None:
    curve = IntensityCurve([BEGIN + i * 3600 for i in range(7)], [300.0, 100.0, 300.0, 100.0, 200.0, 300.0])
    found = plans(curve, Task(BEGIN, curve.end_s, 2.5 * 3600, "new", 0.0, 0.0, 0.0, 9))
    assert found is not None
    hours = [((a - BEGIN) / 3600, (b - BEGIN) / 3600) for a, b in found.best.segments]
    assert hours == [(1, 2), (3, 4.5)]
    assert found.best.cost == 3600 * (100 + 100 + 0.5 * 200)


def test_a_pause_that_costs_more_than_it_saves_is_not_made() -> None:
    curve = IntensityCurve([BEGIN + i * 3600 for i in range(6)], [100.0, 120.0, 100.0, 100.0, 500.0, 500.0][:5])
    cheap = plans(curve, Task(BEGIN, curve.end_s - 3600, 3 * 3600, "new", 1800.0, 0.0, 600.0, 9))
    dear = plans(curve, Task(BEGIN, curve.end_s - 3600, 3 * 3600, "new", 1800.0, 0.0, 900.0, 9))
    assert cheap is not None  # ten minutes at 100 g/kWh against an hour at 20 more: 16.7 < 20
    assert dear is not None  # fifteen minutes: 25 > 20
    assert (len(cheap.best.segments), len(dear.best.segments)) == (2, 1)


def test_a_curve_that_does_not_reach_the_end_gives_no_plan() -> None:
    curve = IntensityCurve([BEGIN, BEGIN + 3600], [100.0])
    assert plans(curve, Task(BEGIN, BEGIN + 7200, 1800, "new", 0.0, 0.0, 0.0, 1)) is None


def test_work_that_no_longer_fits_runs_at_once() -> None:
    curve = IntensityCurve([BEGIN, BEGIN + 7200], [100.0])
    found = plans(curve, Task(BEGIN, BEGIN + 1800, 3600, "paused", 600.0, 300.0, 60.0, 1))
    assert found is not None
    assert found.best is found.now
    assert found.best.segments == ((BEGIN, BEGIN + 3900),)


def test_the_grid_hangs_on_the_work_alone() -> None:
    assert [grid_s(hours * 3600) for hours in (1, 6, 7, 24, 25, 96)] == [900, 900, 1800, 1800, 3600, 3600]
