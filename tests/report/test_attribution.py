"""The decomposition leaves no residual, is antisymmetric, and has the right limits."""

import math
from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.attribution import RunFactors, attribute, logarithmic_mean

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


def exact_parts(baseline: RunFactors, run: RunFactors) -> list[Decimal]:
    """The formula as it stands in the literature, to 200 digits; all factors are above zero."""
    with localcontext() as context:
        context.prec = 200
        before, after = (chain_of(side) for side in (baseline, run))
        c0, c1 = (Decimal(r.energy_kwh) * Decimal(r.mean_intensity_gco2eq_per_kwh) for r in (baseline, run))
        mean = c0 if c0 == c1 else (c1 - c0) / (c1 / c0).ln()
        return [*(mean * (new / old).ln() for old, new in zip(before, after, strict=True)), c1 - c0]


def chain_of(side: RunFactors) -> tuple[Decimal, ...]:
    samples, energy = Decimal(side.samples), Decimal(side.energy_kwh)
    pivot, mean = Decimal(side.pivot_gco2eq_per_kwh), Decimal(side.mean_intensity_gco2eq_per_kwh)
    return samples, energy / samples, pivot, mean / pivot


@given(factors(), factors())
def test_the_formulas_parts_sum_to_the_total_to_1e_12_of_the_total(baseline: RunFactors, run: RunFactors) -> None:
    *parts, total = exact_parts(baseline, run)
    with localcontext() as context:
        context.prec = 200
        assert abs(sum(parts) - total) <= Decimal("1e-12") * abs(total) + Decimal("1e-150")  # 200 digits, rounded


@given(factors(), factors())
def test_floats_agree_with_200_digits_to_1e_12_of_the_largest_figure(baseline: RunFactors, run: RunFactors) -> None:
    """Relative to the largest: where parts of opposite sign cancel, their last bits are more than 1e-12 of the rest."""
    expected = exact_parts(baseline, run)
    largest = float(max(map(abs, expected)))
    scale = max(largest, baseline.emissions_gco2eq, run.emissions_gco2eq)
    found = (*parts_of(baseline, run), attribute(baseline, run).total)
    assert found == pytest.approx([float(value) for value in expected], rel=0, abs=1e-12 * scale)


@given(factors(zeros=True), factors(zeros=True))
def test_the_parts_sum_to_the_total_also_at_zeros(baseline: RunFactors, run: RunFactors) -> None:
    parts = parts_of(baseline, run)
    total = attribute(baseline, run).total
    scale = max(map(abs, (*parts, total, baseline.emissions_gco2eq, run.emissions_gco2eq)))
    assert total == run.emissions_gco2eq - baseline.emissions_gco2eq
    assert abs(math.fsum(parts) - total) <= 1e-12 * scale


@given(factors(), st.floats(1.05, 10), st.floats(1.05, 10), st.floats(1.05, 10))
def test_where_nothing_cancels_the_sum_is_exact_relative_to_the_total(
    baseline: RunFactors, a: float, b: float, c: float
) -> None:
    base = replace(baseline, submission_intensity_gco2eq_per_kwh=None)
    mean = baseline.mean_intensity_gco2eq_per_kwh
    run = make(baseline.samples, baseline.energy_kwh * a, mean * b * c, mean * b)
    assert math.fsum(parts_of(base, run)) == pytest.approx(attribute(base, run).total, rel=1e-12, abs=0)


@given(factors(zeros=True), factors(zeros=True))
def test_exchanging_the_runs_flips_every_sign_to_the_last_bit(a: RunFactors, b: RunFactors) -> None:
    there, back = attribute(a, b), attribute(b, a)
    assert parts_of(a, b) == tuple(-part for part in parts_of(b, a))
    assert there.total == -back.total


@given(factors(zeros=True))
def test_a_run_against_itself_has_no_parts(run: RunFactors) -> None:
    assert parts_of(run, run) == (0.0, 0.0, 0.0, 0.0)


@given(factors(), factors(), st.integers(-40, 40))
def test_the_parts_do_not_depend_on_the_unit_of_energy(a: RunFactors, b: RunFactors, power: int) -> None:
    def scaled(run: RunFactors) -> RunFactors:
        return replace(run, energy_kwh=run.energy_kwh * 2.0**power)

    expected = [part * 2.0**power for part in parts_of(a, b)]
    scale = max(a.emissions_gco2eq, b.emissions_gco2eq, *map(abs, parts_of(a, b))) * 2.0**power
    assert parts_of(scaled(a), scaled(b)) == pytest.approx(expected, rel=1e-12, abs=1e-12 * scale)


@pytest.mark.parametrize("vanishing", [{"energy": 0.0}, {"mean": 0.0}, {"energy": 0.0, "mean": 0.0}])
def test_the_parts_at_zero_are_the_limits_of_the_parts_near_zero(vanishing: dict[str, float]) -> None:
    """The limit is reached as slowly as 1 / ln(d): at d = 1e-150 it is still up to 2 % away."""
    near = attribute(make(), make(submission=150.0, **dict.fromkeys(vanishing, 1e-150)))  # type: ignore[arg-type]
    limit = attribute(make(), make(submission=150.0, **vanishing))  # type: ignore[arg-type]
    for name in ("work", "efficiency", "grid_conditions", "waiting"):
        assert getattr(near, name) == pytest.approx(getattr(limit, name), abs=0.02 * 600)


@given(positive)
def test_the_logarithmic_mean_has_its_limits(a: float) -> None:
    assert logarithmic_mean(a, a) == a
    assert logarithmic_mean(a, 0.0) == 0.0
    assert logarithmic_mean(0.0, a) == 0.0
    assert logarithmic_mean(a, a * (1 + 1e-9)) == pytest.approx(a * (1 + 0.5e-9), rel=1e-15)


@given(positive, positive)
def test_the_logarithmic_mean_is_symmetric_and_lies_between_the_geometric_and_arithmetic(a: float, b: float) -> None:
    mean = logarithmic_mean(a, b)
    assert mean == logarithmic_mean(b, a)
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


def test_without_a_known_submission_waiting_is_zero() -> None:
    found = attribute(make(), make(mean=100.0))
    assert found.waiting == 0.0
    assert found.grid_conditions == pytest.approx(-400.0)


def test_a_carbon_free_grid_at_submission_does_not_separate_waiting_from_a_dirtier_run() -> None:
    found = attribute(make(), make(mean=100.0, submission=0.0))
    assert found.waiting == 0.0


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


@given(a=st.floats(5e-324, 1e308), b=st.floats(5e-324, 1e308))
def test_the_logarithmic_mean_of_any_two_floats_lies_between_them(a: float, b: float) -> None:
    assert min(a, b) * (1 - 1e-12) <= logarithmic_mean(a, b) <= max(a, b) * (1 + 1e-12)


@pytest.mark.parametrize(("energy", "mean"), [(1e200, 1e200), (1e-200, 1e-200)])
def test_emissions_that_no_float_can_hold_are_refused(energy: float, mean: float) -> None:
    with pytest.raises(ValueError, match="which is no figure"):
        make(energy=energy, mean=mean)


def test_negative_samples_and_energy_without_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples is -1"):
        make(samples=-1)
    with pytest.raises(ValueError, match="no sample at all"):
        make(samples=0)
