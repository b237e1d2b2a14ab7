"""Perfect foresight: never worse than any schedule that keeps the rules, and reached by one of them."""

from datetime import timedelta
from itertools import groupby, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import PausingConfig
from lowtide.scheduler.backtest.results import emitted
from lowtide.scheduler.backtest.simulate import Run, best_blocks, best_segments
from lowtide.scheduler.backtest.trace import ActualTrace

STEP = 3600.0
SERIES = st.lists(st.floats(1, 1000), min_size=4, max_size=40)


@given(SERIES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_best_block_is_below_every_other_and_is_one_of_them(
    values: list[float], submitted: float, share: float, place: float
) -> None:
    actual = ActualTrace(0.0, STEP, np.array(values))
    begin = submitted * (actual.end_s - 2.0)
    room = actual.end_s - begin
    duration = max(1.0, share * room)
    latest = begin + room - duration
    (best,) = best_blocks(actual, np.array([begin]), np.array([latest]), duration)
    other = begin + place * (latest - begin)
    assert best <= actual.mean(other, other + duration) + 1e-8 * (1.0 + best)  # differences of prefix sums lose digits
    # between two times at which a block starts or ends at an edge, its mean is linear: the least is at one of them
    edges = np.arange(0.0, actual.end_s + 1.0, STEP)
    starts = np.unique(np.clip([begin, latest, *edges, *(edges - duration)], begin, latest))
    assert best == pytest.approx(actual.mean(starts, starts + duration).min(), rel=1e-6)


def test_on_the_hour_it_is_every_hour_from_submission_on() -> None:
    actual = ActualTrace(0.0, STEP, np.array([5.0, 4.0, 3.0, 9.0, 1.0, 2.0, 0.5]))
    found = best_blocks(actual, np.array([0.0, STEP]), np.array([2 * STEP, 3 * STEP]), 2 * STEP)
    assert found.tolist() == [3.5, 3.5]
    assert best_blocks(actual, np.array([0.0]), np.array([0.0]), 2 * STEP).tolist() == [4.5]


QUARTER = 900.0
"""The planner's step for short jobs."""


def brute(actual: ActualTrace, work_s: float, limits: PausingConfig) -> float:
    """The least emissions over all ways to work or not in each step; the last step only as long as there is work."""
    return min(
        cost(actual, ways, work_s, limits) for ways in product((False, True), repeat=len(actual.values)) if any(ways)
    )


def cost(actual: ActualTrace, ways: tuple[bool, ...], work_s: float, limits: PausingConfig) -> float:
    runs = [(works, [i for i, _ in group]) for works, group in groupby(enumerate(ways), key=lambda pair: pair[1])]
    slices = [[steps[0] * QUARTER, (steps[-1] + 1) * QUARTER] for works, steps in runs if works]
    spare_s = sum(end - begin for begin, end in slices) - work_s
    if not -1e-9 <= spare_s < QUARTER - 1e-9 or len(slices) - 1 > limits.maximum_pauses:
        return np.inf
    slices[-1][1] -= spare_s
    resume_s, least_s = limits.resume_time.total_seconds(), limits.minimum_slice.total_seconds()
    too_short = min(end - begin for begin, end in slices) < min(work_s, least_s) - 1e-9
    if too_short or any(later[0] - earlier[1] <= resume_s for earlier, later in pairwise(slices)):
        return np.inf
    segments = tuple((begin - resume_s * (i > 0), end) for i, (begin, end) in enumerate(slices))
    return float(emitted(actual, [Run(0.0, actual.end_s, segments)], work_s, limits)[0])


def minutes(*amounts: float) -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(minutes=amount) for amount in amounts])


LIMITS = st.builds(
    PausingConfig,
    minimum_slice=minutes(0, 10, 15, 27),
    resume_time=minutes(0, 1.5, 7.5, 15, 18),
    resume_energy=minutes(0, 1.5, 10),
    maximum_pauses=st.integers(0, 3),
)


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=7), st.integers(1, 28), LIMITS)
def test_no_way_of_working_in_steps_is_better_than_the_best_segments(
    prices: list[float], parts: int, limits: PausingConfig
) -> None:
    actual, work_s = ActualTrace(0.0, QUARTER, np.array(prices)), min(QUARTER / 4 * parts, QUARTER * len(prices))
    (found,) = best_segments(actual, np.array([0.0]), actual.end_s, work_s, limits)
    assert found <= brute(actual, work_s, limits) * (1 + 1e-6)
    # nor is it better than the cleanest time there is, taken without any rule
    order = sorted(prices)
    whole, rest_s = int(work_s // QUARTER), work_s % QUARTER
    cleanest = sum(order[:whole]) * QUARTER + (order[whole] * rest_s if rest_s else 0.0)
    assert found >= cleanest / work_s * (1 - 1e-9)


@given(SERIES, st.integers(1, 10))
def test_free_pauses_take_the_cleanest_steps_and_no_pauses_the_cleanest_block(values: list[float], steps: int) -> None:
    steps = min(steps, len(values))
    actual, submitted = ActualTrace(0.0, STEP, np.array(values)), np.array([0.0])
    free = PausingConfig(
        minimum_slice=timedelta(0), resume_time=timedelta(0), resume_energy=timedelta(0), maximum_pauses=len(values)
    )
    found = best_segments(actual, submitted, actual.end_s, steps * STEP, free)
    assert found[0] == pytest.approx(np.mean(sorted(values)[:steps]))
    whole = best_segments(actual, submitted, actual.end_s, steps * STEP, free.model_copy(update={"maximum_pauses": 0}))
    block = best_blocks(actual, submitted, np.array([actual.end_s - steps * STEP]), steps * STEP)
    assert whole == pytest.approx(block)


def test_a_job_that_does_not_fit_runs_at_once_and_no_job_has_no_figure() -> None:
    actual = ActualTrace(0.0, STEP, np.array([5.0, 1.0, 3.0]))
    assert best_segments(actual, np.array([0.0]), STEP, 2 * STEP, PausingConfig()).tolist() == [3.0]
    assert best_segments(actual, np.empty(0), STEP, STEP, PausingConfig()).size == 0
