"""The decomposition leaves no residual, is antisymmetric, and has the right limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.report import RunFactors, attribute, logarithmic_mean

positive = st.floats(1e-6, 1e6)
intensity = st.floats(0.1, 3000)


@st.composite
def factors(draw: st.DrawFn, zeros: bool = False) -> RunFactors:
    energy = st.one_of(st.just(0.0), positive) if zeros else positive
    grams = st.one_of(st.just(0.0), intensity) if zeros else intensity
    return RunFactors(
        samples=draw(st.integers(1, 10**9)),
        energy_kwh=draw(energy),
        mean_intensity_gco2eq_per_kwh=draw(grams),
        submission_intensity_gco2eq_per_kwh=draw(st.one_of(st.none(), grams)),
    )


def parts_of(baseline: RunFactors, run: RunFactors) -> tuple[float, float, float, float]:
    found = attribute(baseline, run)
    return (found.work, found.efficiency, found.grid_conditions, found.waiting)


def make(samples: int = 100, energy: float = 2.0, mean: float = 300.0, submission: float | None = None) -> RunFactors:
    return RunFactors(
        samples=samples,
        energy_kwh=energy,
        mean_intensity_gco2eq_per_kwh=mean,
        submission_intensity_gco2eq_per_kwh=submission,
    )


@given(factors(zeros=True), factors(zeros=True))
def test_the_parts_sum_to_the_total_also_at_zeros(baseline: RunFactors, run: RunFactors) -> None:
    parts = parts_of(baseline, run)
    total = attribute(baseline, run).total
    # relative to the largest figure in the sum: large parts of opposite sign may cancel to a small total
    scale = max(map(abs, (*parts, total, baseline.emissions_gco2eq, run.emissions_gco2eq)))
    assert total == run.emissions_gco2eq - baseline.emissions_gco2eq
    assert abs(math.fsum(parts) - total) <= 1e-12 * scale


@given(factors(), st.floats(1.05, 10), st.floats(1.05, 10), st.floats(1.05, 10))
def test_where_nothing_cancels_the_sum_is_exact_relative_to_the_total(
    baseline: RunFactors, a: float, b: float, c: float
) -> None:
    mean = baseline.mean_intensity_gco2eq_per_kwh
    run = make(baseline.samples, baseline.energy_kwh * a, mean * b * c, mean * b)
    assert math.fsum(parts_of(baseline, run)) == pytest.approx(attribute(baseline, run).total, rel=1e-12, abs=0)


@given(factors(), factors())
def test_exchanging_the_runs_flips_work_efficiency_and_the_intensity_as_a_whole(a: RunFactors, b: RunFactors) -> None:
    there, back = attribute(a, b), attribute(b, a)
    scale = max(a.emissions_gco2eq, b.emissions_gco2eq, *map(abs, parts_of(a, b)), *map(abs, parts_of(b, a)))
    assert there.work == pytest.approx(-back.work, rel=1e-9, abs=1e-12 * scale)
    assert there.efficiency == pytest.approx(-back.efficiency, rel=1e-9, abs=1e-12 * scale)
    assert there.grid_conditions + there.waiting == pytest.approx(
        -(back.grid_conditions + back.waiting), rel=1e-9, abs=1e-12 * scale
    )
    assert there.total == -back.total


@given(factors(), factors(), intensity)
def test_the_same_path_walked_back_flips_every_sign(a: RunFactors, b: RunFactors, middle: float) -> None:
    def through(run: RunFactors) -> RunFactors:
        return make(run.samples, run.energy_kwh, run.mean_intensity_gco2eq_per_kwh, middle)

    there, back = attribute(a, through(b)), attribute(b, through(a))
    scale = max(a.emissions_gco2eq, b.emissions_gco2eq, abs(there.waiting), abs(there.grid_conditions))
    # a to middle to b, walked back, is b to middle to a: the two halves of the way change places
    assert there.grid_conditions == pytest.approx(-back.waiting, rel=1e-9, abs=1e-12 * scale)
    assert there.waiting == pytest.approx(-back.grid_conditions, rel=1e-9, abs=1e-12 * scale)


@given(factors())
def test_a_run_against_itself_has_no_parts(run: RunFactors) -> None:
    again = make(run.samples, run.energy_kwh, run.mean_intensity_gco2eq_per_kwh, run.mean_intensity_gco2eq_per_kwh)
    assert parts_of(run, again) == (0.0, 0.0, 0.0, 0.0)


@given(positive)
def test_the_logarithmic_mean_has_its_limits(a: float) -> None:
    assert logarithmic_mean(a, a) == a
    assert logarithmic_mean(a, 0.0) == 0.0
    assert logarithmic_mean(0.0, a) == 0.0
    assert logarithmic_mean(a, a * (1 + 1e-9)) == pytest.approx(a * (1 + 0.5e-9), rel=1e-15)


@given(positive, positive)
def test_the_logarithmic_mean_is_symmetric_and_lies_between_the_geometric_and_arithmetic(a: float, b: float) -> None:
    mean = logarithmic_mean(a, b)
    assert mean == pytest.approx(logarithmic_mean(b, a), rel=1e-13)
    assert math.sqrt(a * b) * (1 - 1e-12) <= mean <= (a + b) / 2 * (1 + 1e-12)


def test_each_factor_alone_gets_the_whole_change() -> None:
    base = make()
    assert parts_of(base, make(samples=200, energy=4.0)) == pytest.approx((600.0, 0, 0, 0))
    assert parts_of(base, make(energy=1.0)) == pytest.approx((0, -300.0, 0, 0))
    assert parts_of(base, make(mean=150.0, submission=150.0)) == pytest.approx((0, 0, -300.0, 0))
    assert parts_of(base, make(mean=150.0, submission=300.0)) == pytest.approx((0, 0, 0, -300.0))


def test_a_worked_example_agrees_with_a_pocket_calculator() -> None:
    # C0 = 2 x 300 = 600 g, C1 = 1.5 x 100 = 150 g; L = 450 / ln 4 = 324.606
    found = attribute(make(), make(energy=1.5, mean=100.0, submission=200.0))
    assert found.efficiency == pytest.approx(-93.384, abs=1e-3)  # L x ln(0.75)
    assert found.grid_conditions == pytest.approx(-131.617, abs=1e-3)  # L x ln(200/300)
    assert found.waiting == pytest.approx(-225.0, abs=1e-3)  # L x ln(100/200)
    assert found.total == -450.0


def test_without_a_known_submission_waiting_is_zero_and_said_to_be() -> None:
    found = attribute(make(), make(mean=100.0))
    assert (found.waiting, found.waiting_separated) == (0.0, False)
    assert found.grid_conditions == pytest.approx(-400.0)


def test_a_carbon_free_grid_at_submission_does_not_separate_waiting_from_a_dirtier_run() -> None:
    found = attribute(make(), make(mean=100.0, submission=0.0))
    assert (found.waiting, found.waiting_separated) == (0.0, False)


def test_a_factor_that_vanishes_takes_the_whole_change() -> None:
    assert parts_of(make(), make(energy=0.0)) == (0.0, -600.0, 0.0, 0.0)
    assert parts_of(make(), make(mean=0.0, submission=200.0)) == (0.0, 0.0, 0.0, -600.0)
    assert parts_of(make(mean=0.0), make(submission=200.0)) == (0.0, 0.0, 600.0, 0.0)
    assert parts_of(make(samples=0, energy=0.0), make(submission=300.0)) == (600.0, 0.0, 0.0, 0.0)


def test_two_factors_that_vanish_together_share_the_change() -> None:
    assert parts_of(make(), make(energy=0.0, mean=0.0, submission=50.0)) == (0.0, -300.0, 0.0, -300.0)


def test_nothing_to_nothing_has_no_parts() -> None:
    assert parts_of(make(energy=0.0), make(mean=0.0)) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("field", ["energy", "mean", "submission"])
def test_negative_and_non_finite_inputs_are_refused(field: str, bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        make(**{field: bad})  # type: ignore[arg-type]


def test_negative_samples_and_energy_without_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples is -1"):
        make(samples=-1)
    with pytest.raises(ValueError, match="no sample at all"):
        make(samples=0)
