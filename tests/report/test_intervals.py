"""The intervals are Student's and Welch's where those are known in closed form."""

import math
from collections.abc import Sequence
from statistics import mean, stdev, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.statistics import intervals_of, spread_of, t_975

values = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)
groups = st.lists(values, min_size=2, max_size=8)


def tail_of_t(t: float, degrees: int) -> float:
    """The density's integral from 0 to t by Simpson's rule, taken from a half: what lies beyond t."""
    log_c = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)

    def density(x: float) -> float:
        return math.exp(log_c - (degrees + 1) / 2 * math.log1p(x * x / degrees))

    n = 2000
    h = t / n
    inner = sum((4 if k % 2 else 2) * density(k * h) for k in range(1, n))
    return 0.5 - h / 3 * (density(0) + inner + density(t))


@pytest.mark.parametrize("degrees", [*range(1, 31), 40, 60, 120])
def test_the_table_holds_the_quantiles_of_students_t(degrees: int) -> None:
    assert tail_of_t(t_975(degrees), degrees) == pytest.approx(0.025, rel=1e-3)


def test_between_two_entries_the_wider_interval_is_taken() -> None:
    assert t_975(2.9) == t_975(2)
    assert t_975(35) == t_975(30)
    assert t_975(1e9) == t_975(120)
    assert t_975(3 - 1e-12) == t_975(3)  # Welch's degrees of freedom are a quotient of floats


def difference(found: Sequence[Sequence[float]]) -> dict[str, float | None]:
    return {"difference": mean(found[1]) - mean(found[0])}


@given(groups)
def test_the_interval_of_a_mean_is_exactly_students(group: list[float]) -> None:
    half = t_975(len(group) - 1) * stdev(group) / math.sqrt(len(group))
    found = intervals_of(lambda some: {"mean": mean(some[0])}, [group])["mean"]
    scale = max(map(abs, group))
    assert found.low == pytest.approx(mean(group) - half, rel=1e-9, abs=1e-9 * scale)
    assert found.high == pytest.approx(mean(group) + half, rel=1e-9, abs=1e-9 * scale)
    spread = spread_of(group)
    assert spread.interval is not None
    assert (spread.runs, spread.mean) == (len(group), pytest.approx(mean(group), abs=1e-9 * scale))
    assert spread.interval.high - spread.interval.low == pytest.approx(2 * half, rel=1e-9, abs=1e-9 * scale)


def test_the_interval_of_a_difference_of_means_is_exactly_welchs() -> None:
    before, after = [9.8, 10.2, 10.0, 10.4], [7.1, 6.5, 7.4]
    a, b = variance(before) / 4, variance(after) / 3
    degrees = (a + b) ** 2 / (a * a / 3 + b * b / 2)
    half = t_975(degrees) * math.sqrt(a + b)
    found = intervals_of(difference, [before, after])["difference"]
    assert (found.low, found.high) == pytest.approx(
        (mean(after) - mean(before) - half, mean(after) - mean(before) + half)
    )
    assert 2 < degrees < 5


def test_the_interval_of_a_quotient_of_sums_weighs_each_run_by_its_denominator() -> None:
    """One run of five avoids much at a dirty submission: the other four alone would make the interval far too narrow."""
    runs = [(300.0, 90.0), *[(30.0, 2.4)] * 4]  # g at submission, g avoided
    found = intervals_of(lambda g: {"percent": 100 * sum(a for _, a in g[0]) / sum(s for s, _ in g[0])}, [runs])[
        "percent"
    ]
    assert (found.low, found.high) == pytest.approx((-13.9, 61.3), abs=0.1)


@given(groups, groups, st.floats(0.1, 10), values)
def test_intervals_follow_a_change_of_unit_and_of_origin(
    a: list[float], b: list[float], scale: float, shift: float
) -> None:
    def moved(group: list[float]) -> list[float]:
        return [scale * value + shift for value in group]

    plain = intervals_of(difference, [a, b])["difference"]
    other = intervals_of(difference, [moved(a), moved(b)])["difference"]
    size = scale * max(map(abs, (*a, *b))) + abs(shift) + 1
    assert other.high - other.low == pytest.approx(scale * (plain.high - plain.low), rel=1e-2, abs=1e-6 * size)


def test_runs_without_any_spread_are_sure() -> None:
    found = intervals_of(difference, [[2.0, 2.0], [1.0, 1.0, 1.0]])["difference"]
    assert (found.low, found.high) == (-1.0, -1.0)


def test_one_run_has_no_spread() -> None:
    with pytest.raises(ValueError, match="a single run has no spread"):
        intervals_of(difference, [[2.0], [1.0, 1.0]])
    alone = spread_of([2.0])
    assert (alone.runs, alone.mean, alone.standard_deviation, alone.interval) == (1, 2.0, None, None)


def test_a_figure_that_is_unknown_for_a_single_run_has_no_interval() -> None:
    def ratio(some: Sequence[Sequence[float]]) -> dict[str, float | None]:
        return {"ratio": mean(some[1]) / mean(some[0]) if mean(some[0]) else None, "sum": sum(some[0])}

    assert set(intervals_of(ratio, [[0.0, 2.0], [1.0, 3.0]])) == {"sum"}
