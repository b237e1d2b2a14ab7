"""The intensity curve against brute force: its mean is the integral, and no start beats the best."""

from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.grid.series import IntensityCurve

from tests.support.grid import HOUR, T0, curve

VALUES = st.lists(st.integers(0, 900).map(float), min_size=1, max_size=40)
GAPPED = st.lists(st.integers(0, 900).map(float) | st.just(nan), min_size=1, max_size=40)
STEPS = st.sampled_from([300.0, 900.0, 1800.0, 3600.0])


@st.composite
def curves(draw: st.DrawFn, values: st.SearchStrategy[list[float]] = GAPPED) -> IntensityCurve:
    """Regular or irregular, with gaps or without, in whole seconds."""
    drawn = draw(values)
    n = len(drawn)
    steps = draw(STEPS.map(lambda step: [step] * n) | st.lists(STEPS, min_size=n, max_size=n))
    edges = [1_700_000_000.0]
    for step in steps:
        edges.append(edges[-1] + step)
    return IntensityCurve(edges, drawn)


def integral_mean(curve: IntensityCurve, start: float, end: float) -> float | None:
    """The mean by walking over every step."""
    total = covered = 0.0
    for a, b, value in zip(curve.edges_s, curve.edges_s[1:], curve.values, strict=False):
        overlap = min(b, end) - max(a, start)
        if overlap > 0 and not isnan(value):
            total, covered = total + overlap * value, covered + overlap
    return total / covered if covered == end - start else None


@given(curves(), st.integers(-4000, 160_000), st.integers(1, 50_000))
def test_the_mean_over_any_block_is_the_integral(curve: IntensityCurve, offset: int, duration: int) -> None:
    start = curve.start_s + offset
    expected, mean = integral_mean(curve, start, start + duration), curve.mean_over(start, start + duration)
    assert (mean is None) == (expected is None)
    if expected is not None:
        assert mean == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(curves(), st.integers(-4000, 100_000), st.integers(0, 100_000), st.integers(60, 30_000))
def test_no_start_is_better_than_the_best_and_none_as_good_is_earlier(
    curve: IntensityCurve, offset: int, span: int, duration: int
) -> None:
    earliest = curve.start_s + offset
    best = curve.best_start(earliest, earliest + span, duration)
    tried = [earliest + s for s in {*range(0, span, 97), span}]
    tried += [e + d for e in curve.edges_s for d in (0, -duration) if earliest <= e + d <= earliest + span]
    means = {s: m for s in tried if (m := integral_mean(curve, s, s + duration)) is not None}
    if best is None:
        assert not means
        return
    assert earliest <= best.start_s <= earliest + span
    assert best.mean_gco2eq_per_kwh == pytest.approx(min(means.values()), rel=1e-8, abs=1e-6)
    assert all(mean > best.mean_gco2eq_per_kwh for s, mean in means.items() if s < best.start_s)


@given(st.floats(1, 900), st.integers(1, 100_000), st.integers(0, 3600), STEPS)
def test_on_a_flat_curve_the_earliest_start_is_best(value: float, duration: int, offset: int, step: float) -> None:
    flat = IntensityCurve([1.7e9 + i * step for i in range(200)], [value] * 199)
    best = flat.best_start(flat.start_s + offset, flat.end_s, duration)
    assert (best is not None) == (flat.start_s + offset + duration <= flat.end_s)
    assert best is None or best.start_s == flat.start_s + offset


@given(curves(), curves(), st.integers(-20_000, 200_000), st.integers(-5000, 300_000))
def test_extension_takes_the_first_where_it_lasts_and_the_second_beyond(
    first: IntensityCurve, second: IntensityCurve, by: int, at: int
) -> None:
    second = IntensityCurve([edge + by for edge in second.edges_s], second.values)
    both, time = first.extended_by(second), first.start_s + at
    assert both.value_at(time) == (first if time < first.end_s else second).value_at(time)
    assert both.start_s == first.start_s
    assert both.end_s == max(first.end_s, second.end_s)


def test_readings_become_steps_and_what_lies_between_them_a_gap() -> None:
    hours = curve([100.0, 200.0, 400.0])
    whole = IntensityCurve.from_readings(hours)
    assert whole.mean_over((T0 + HOUR / 2).timestamp(), (T0 + HOUR * 2.5).timestamp()) == pytest.approx(225.0)
    assert (whole.step_s, whole.has_gaps) == (3600.0, False)
    gapped = IntensityCurve.from_readings((hours[0], hours[2]))
    assert (len(gapped.values), gapped.has_gaps) == (3, True)
    assert gapped.value_at((T0 + HOUR).timestamp()) is None
    assert gapped.mean_over(T0.timestamp(), (T0 + 3 * HOUR).timestamp()) is None
    with pytest.raises(ValueError, match="overlap"):
        IntensityCurve.from_readings((hours[1], hours[0]))


@pytest.mark.parametrize(
    ("edges", "values", "told"),
    [
        ([0.0], [], "0 values"),
        ([0.0, 1.0], [1.0, 2.0], "2 values cannot have 2 edges"),
        ([0.0, 1.0, 1.0], [1.0, 2.0], "must increase"),
        ([0.0, 1.0], [-1.0], "finite and >= 0"),
        ([0.0, 1.0], [float("inf")], "finite and >= 0"),
        ([0.0, 1.0, 2.0], [nan, -1.0], "finite and >= 0"),
    ],
)
def test_an_impossible_curve_is_refused(edges: list[float], values: list[float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        IntensityCurve(edges, values)
