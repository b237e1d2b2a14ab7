"""Perfect knowledge: never worse than any schedule that keeps the rules, and reached by one of them."""

from itertools import groupby, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.scheduler.backtest.results import SlotSearch, best_blocks, best_slots, slot_length
from lowtide.scheduler.backtest.simulate import Floats, PauseCosts, Truth

STEP = 3600.0
SERIES = st.lists(st.floats(1, 1000), min_size=4, max_size=40)


@given(SERIES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_best_block_is_below_every_other_and_is_one_of_them(
    values: list[float], submitted: float, share: float, place: float
) -> None:
    truth = Truth.of(0.0, STEP, np.array(values))
    begin = submitted * (truth.end_s - 2.0)
    room = truth.end_s - begin
    duration = max(1.0, share * room)
    latest = begin + room - duration
    (best,) = best_blocks(truth, np.array([begin]), np.array([latest]), duration)
    other = begin + place * (latest - begin)
    assert best <= truth.mean(other, other + duration) + 1e-8 * (1.0 + best)  # differences of prefix sums lose digits
    fine = np.unique(np.clip([begin, latest, *np.arange(0, truth.end_s, 60.0)], begin, latest))
    assert best == pytest.approx(truth.mean(fine, fine + duration).min(), rel=0.05)


def test_on_the_hour_it_is_every_hour_from_submission_on() -> None:
    truth = Truth.of(0.0, STEP, np.array([5.0, 4.0, 3.0, 9.0, 1.0, 2.0, 0.5]))
    found = best_blocks(truth, np.array([0.0, STEP]), np.array([2 * STEP, 3 * STEP]), 2 * STEP)
    assert found.tolist() == [3.5, 3.5]
    assert best_blocks(truth, np.array([0.0]), np.array([0.0]), 2 * STEP).tolist() == [4.5]


def brute(prices: Floats, slot: float, work: float, costs: PauseCosts) -> float:
    """The least cost over all ways to work or not in each slot; the last slot only as long as there is work."""
    truth = Truth.of(0.0, slot, prices)
    return min(cost(truth, ways, work, costs) for ways in product((False, True), repeat=len(prices)) if any(ways))


def cost(truth: Truth, ways: tuple[bool, ...], work: float, costs: PauseCosts) -> float:
    edges = [(works, [i for i, _ in group]) for works, group in groupby(enumerate(ways), key=lambda pair: pair[1])]
    slices = [[slots[0] * truth.step_s, (slots[-1] + 1) * truth.step_s] for works, slots in edges if works]
    spare = sum(end - begin for begin, end in slices) - work
    if not -1e-9 <= spare < truth.step_s - 1e-9 or len(slices) - 1 > costs.maximum_pauses:
        return np.inf
    slices[-1][1] -= spare
    pauses = [later[0] - earlier[1] for earlier, later in pairwise(slices)]
    too_short = min(end - begin for begin, end in slices) < min(work, costs.minimum_slice_s) - 1e-9
    if too_short or any(pause <= costs.resume_time_s for pause in pauses):
        return np.inf
    resumes = sum(float(costs.resuming(truth, np.array([begin - costs.resume_time_s]))[0]) for begin, _ in slices[1:])
    return resumes + sum(float(truth.integral(begin, end)) for begin, end in slices)


COSTS = st.builds(
    PauseCosts,
    minimum_slice_s=st.sampled_from([0.0, 40.0, 60.0, 110.0]),
    resume_time_s=st.sampled_from([0.0, 6.0, 30.0, 60.0, 75.0]),
    resume_energy_s=st.sampled_from([0.0, 6.0, 40.0]),
    maximum_pauses=st.integers(0, 3),
)


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=7), st.integers(1, 28), COSTS)
def test_the_best_slots_are_those_that_trying_all_would_find(
    prices: list[float], quarters: int, costs: PauseCosts
) -> None:
    slot, work = 60.0, min(15.0 * quarters, 60.0 * len(prices))
    sums = np.concatenate(([0.0], np.cumsum(prices) * slot))[None]
    (found,) = SlotSearch(sums, slot, work, costs).best()
    assert found == pytest.approx(brute(np.array(prices), slot, work, costs))


@given(SERIES, st.integers(1, 10))
def test_free_pauses_take_the_cleanest_slots_and_no_pauses_the_cleanest_block(values: list[float], slots: int) -> None:
    slots = min(slots, len(values))
    truth, submitted = Truth.of(0.0, STEP, np.array(values)), np.array([0.0])
    free = best_slots(truth, submitted, truth.end_s, slots * STEP, PauseCosts(maximum_pauses=len(values)))
    assert free[0] == pytest.approx(np.mean(sorted(values)[:slots]))
    whole = best_slots(truth, submitted, truth.end_s, slots * STEP, PauseCosts())
    block = best_blocks(truth, submitted, np.array([truth.end_s - slots * STEP]), slots * STEP)
    assert whole == pytest.approx(block)


@pytest.mark.parametrize(
    ("submitted_h", "duration_h", "minutes"),
    [([0.0, 24.0], 2.0, 15), ([22.5], 12.0, 30), ([0.0], 48.0, 60), ([1.0], 30.2, 12), ([0.0], 61 / 60, 5)],
)
def test_slots_fit_trace_submission_and_duration(submitted_h: list[float], duration_h: float, minutes: int) -> None:
    truth = Truth.of(0.0, STEP, np.ones(48))
    assert slot_length(truth, np.array(submitted_h) * STEP, duration_h * STEP) == minutes * 60


def test_jobs_of_one_shape_are_searched_together_and_alone_alike() -> None:
    truth = Truth.of(0.0, STEP, np.random.default_rng(3).uniform(10, 500, 24 * 40))
    costs = PauseCosts(minimum_slice_s=1800, resume_time_s=120, resume_energy_s=120, maximum_pauses=5)
    submitted = np.arange(30, dtype=np.float64) * 86_400.0
    together = best_slots(truth, submitted, 40 * STEP, 16 * STEP, costs)
    alone = [best_slots(truth, submitted[i : i + 1], 40 * STEP, 16 * STEP, costs)[0] for i in range(30)]
    assert together == pytest.approx(alone)
    assert best_slots(truth, np.empty(0), 40 * STEP, 16 * STEP, costs).size == 0
