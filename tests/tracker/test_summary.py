"""Totals that anyone gets who adds the rows up, and the run as it would have been at submission."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.records import EnergyTotals, IntensityKind, Phase
from lowtide.tracker.emissions import Valuation, counterfactual

from tests.support.valuing import value_interval
from tests.tracker.tracker_tools import T0, reading, sampled, valued


def test_totals_shares_and_phases_follow_from_the_rows() -> None:
    """Three rows of 3.5 Wh: start-up on a modelled grid, training on a measured one, over two attempts."""
    rows = [
        replace(valued(0), phase=Phase.STARTUP, intensity_kind=IntensityKind.MODELLED, emissions_gco2eq=1.0),
        valued(1),
        replace(valued(2, attempt=2), emissions_gco2eq=0.7),
    ]
    summary = Valuation(rows=tuple(rows))
    assert summary.energy_kwh == pytest.approx(0.0105)
    assert summary.emissions_gco2eq == pytest.approx(1.0 + 0.35 + 0.7)
    assert summary.mean_carbon_intensity_gco2eq_per_kwh == pytest.approx(2.05 / 0.0105)
    assert summary.intensity_kinds == pytest.approx({IntensityKind.MODELLED: 1 / 3, IntensityKind.MEASURED: 2 / 3})
    train = summary.of(Phase.TRAIN)
    assert (train.energy_kwh, train.emissions_gco2eq) == pytest.approx((0.007, 1.05))
    part = replace(summary, rows=summary.rows[:2], unvalued=summary.rows[2:], pue=2.0)
    assert part.energy_kwh == pytest.approx(0.0105), "energy counts, valued or not"
    assert part.mean_carbon_intensity_gco2eq_per_kwh == pytest.approx(1.35 / 0.007 / 2)
    assert math.fsum(part.intensity_kinds.values()) == pytest.approx(1)
    assert part.of(Phase.TRAIN).unvalued == summary.rows[2:]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3).filter(any), min_size=1, max_size=50))
def test_sums_agree_with_a_plain_sum_to_1e_9(energies: list[tuple[float, float, float]]) -> None:
    """As an auditor's script adds them."""
    rows = [valued(k, energy=energy) for k, energy in enumerate(energies)]
    summary = Valuation(rows=tuple(rows))
    assert summary.energy_kwh == pytest.approx(sum(sum(energy) for energy in energies), rel=1e-9)
    assert summary.emissions_gco2eq == pytest.approx(sum(r.emissions_gco2eq for r in rows), rel=1e-9)
    assert math.fsum(summary.intensity_kinds.values()) == pytest.approx(1)


def test_a_run_without_training_rows_has_trained_on_nothing() -> None:
    """Killed during start-up, then read back."""
    train = Valuation(rows=(replace(valued(0), phase=Phase.STARTUP),)).of(Phase.TRAIN)
    assert (train.energy_kwh, train.emissions_gco2eq, train.mean_carbon_intensity_gco2eq_per_kwh) == (0.0, 0.0, 0.0)


def test_a_run_without_energy_has_no_counterfactual() -> None:
    """A run that used nothing does not exist: its meter was broken, and 0 g would be a claim."""
    assert (
        counterfactual([valued(0, energy=(0.0, 0.0, 0.0))], T0, [reading(T0, T0 + timedelta(days=1), 1)], pue=1.0)
        is None
    )


def test_a_run_shifted_to_submission_is_valued_at_the_grid_of_then() -> None:
    """2 kW for an hour on a falling ramp, begun 3 h after submission: closed form at both ends, PUE kept."""
    ramp = sampled(T0, 6, 60, lambda h: 600 - 100 * h)
    rows = []
    for k in range(60):
        start = T0 + timedelta(hours=3, minutes=k)
        energy = (2 / 60, 0.0, 0.0)
        rows += value_interval(
            start, start + timedelta(minutes=1), energy, ramp, phase=Phase.TRAIN, attempt=1, monotonic_s=0.0, pue=1.2
        )
    assert Valuation(rows=tuple(rows)).emissions_gco2eq == pytest.approx(1.2 * 2 * 250)
    then = counterfactual(rows, T0, ramp, pue=1.2)
    assert then is not None
    assert then.start == T0
    assert then.emissions_gco2eq == pytest.approx(1.2 * 2 * 550)
    assert then.carbon_intensity_gco2eq_per_kwh == pytest.approx(550)
    assert then.intensity_kinds == {IntensityKind.MEASURED: pytest.approx(1)}


def test_a_run_that_did_not_wait_is_its_own_counterfactual() -> None:
    """No shift, no difference: waiting then explains exactly nothing."""
    grid = sampled(T0, 1, 7, lambda h: 100 + 300 * h)
    rows = value_interval(
        T0, T0 + timedelta(minutes=50), (1.0, 2.0, 3.0), grid, phase=Phase.TRAIN, attempt=1, monotonic_s=0.0, pue=1.37
    )
    same = counterfactual(rows, rows[0].start, grid, pue=1.37)
    assert same is not None
    assert same.emissions_gco2eq == pytest.approx(Valuation(rows=tuple(rows)).emissions_gco2eq, rel=1e-12)


def test_readings_that_do_not_cover_the_shifted_run_give_no_counterfactual() -> None:
    """None, never a guess."""
    assert counterfactual([valued(0), valued(1)], T0, [reading(T0, T0 + timedelta(seconds=7), 300)], pue=1.0) is None
    assert counterfactual([valued(0)], T0, [], pue=1.0) is None


def test_the_methods_of_both_meters_fit_the_record() -> None:
    """The record's vocabulary is closed."""
    from lowtide.tracker.codecarbon import energy_methods

    from tests.support.replay_meter import ReplayMeter

    for methods in (ReplayMeter().methods, energy_methods([])):
        assert EnergyTotals(total=1, cpu=1, gpu=0, ram=0, methods=methods).methods == methods


def test_a_run_that_paused_for_the_grid_is_set_against_one_in_one_piece() -> None:
    """Two rows of one attempt, an hour's pause, one row of the next: at submission all three come one after the other."""
    hour = timedelta(hours=1)
    rows = [valued(0), valued(1), replace(valued(2, attempt=2), start=valued(2).start + hour, end=valued(2).end + hour)]
    submitted = T0 - timedelta(hours=5)
    clean_then_dirty = [
        reading(submitted, submitted + timedelta(seconds=15), 100.0),
        reading(submitted + timedelta(seconds=15), submitted + 2 * hour, 900.0),
    ]
    whole = counterfactual(rows, submitted, clean_then_dirty, in_one_piece=True, pue=1.0)
    assert whole is not None
    assert whole.carbon_intensity_gco2eq_per_kwh == pytest.approx(100.0)
    with_pause = counterfactual(rows, submitted, clean_then_dirty, pue=1.0)
    assert with_pause is not None
    assert with_pause.carbon_intensity_gco2eq_per_kwh == pytest.approx((2 * 100.0 + 900.0) / 3)
