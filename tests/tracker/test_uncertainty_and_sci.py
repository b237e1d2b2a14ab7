"""Intervals by hand-made arithmetic, and the score of ISO/IEC 21031:2024 by its definition."""

from dataclasses import replace
from datetime import timedelta

import pytest
from lowtide.config.schema import AccountConfig
from lowtide.records import IntensityKind
from lowtide.tracker.emissions import Valuation
from lowtide.tracker.meter import Method
from lowtide.tracker.sci import sci_score
from lowtide.tracker.uncertainty import ENERGY_ERRORS, INTENSITY_ERRORS, emissions_interval

from tests.tracker.tracker_tools import valued

METHODS = {"cpu": "rapl", "gpu": "nvml", "ram": "constant"}


def test_the_interval_adds_up_components_and_multiplies_energy_with_intensity() -> None:
    """1 kWh by RAPL (40 %), 2 by NVML (40 %), 1 by a constant (-50 %, +100 %); half of the grams forecast (29 %), half measured (5 %)."""
    measured = valued(0, energy=(0.5, 1.0, 0.5))
    forecast = replace(valued(1, energy=(0.5, 1.0, 0.5)), intensity_kind=IntensityKind.FORECAST)
    found = emissions_interval(Valuation(rows=(measured, forecast)), METHODS)
    low, high = 1 - (0.4 * 3 + 0.5 * 1) / 4, 1 + (0.4 * 3 + 1.0 * 1) / 4
    assert (found.energy_low_kwh, found.energy_high_kwh) == pytest.approx((4 * low, 4 * high), rel=1e-12)
    assert found.emissions_low_gco2eq == pytest.approx(400 * low * (1 - 0.17), rel=1e-12)
    assert found.emissions_high_gco2eq == pytest.approx(400 * high * (1 + 0.17), rel=1e-12)
    assert found.basis[0].startswith("25.0 % of energy cpu by rapl: -40 % to +40 % (CodeCarbon against external meters")
    assert len(found.basis) == 5


def test_an_error_without_a_publication_is_called_assumed_and_none_is_zero_unless_given() -> None:
    for error in (*ENERGY_ERRORS.values(), *INTENSITY_ERRORS.values()):
        assert 0 <= error.below < 1
        assert error.source.startswith(("assumed", "given")) or any(c.isdigit() for c in error.source)
        assert (error.below > 0) is not error.source.startswith("given")


def test_every_method_and_every_kind_has_its_error() -> None:
    assert set(ENERGY_ERRORS) == set(Method.__args__)  # type: ignore[attr-defined]
    assert set(INTENSITY_ERRORS) == set(IntensityKind)


def test_a_share_of_a_machine_has_the_machine_beside_it() -> None:
    whole = {"machine_cpu_energy_kwh": 2.0, "machine_gpu_energy_kwh": 1.0, "machine_ram_energy_kwh": 0.5}
    rows = [replace(valued(k, energy=(0.5, 1.0, 0.5)), **whole) for k in range(2)]
    found = emissions_interval(Valuation(rows=tuple(rows)), METHODS)
    assert found.basis[-1].startswith("the whole machine used 7 kWh in the same rows by the same methods")
    assert "the whole machine" not in emissions_interval(Valuation(rows=(*rows, valued(2))), METHODS).basis[-1]


def test_a_method_that_is_not_named_counts_as_the_least_known() -> None:
    found = emissions_interval(Valuation(rows=(valued(0, energy=(1.0, 0.0, 0.0)),)), {})
    assert (found.energy_low_kwh, found.energy_high_kwh) == pytest.approx((0.5, 2.0))


def test_a_clean_grid_has_no_grams_in_either_direction() -> None:
    clean = replace(valued(0), carbon_intensity_gco2eq_per_kwh=0.0, emissions_gco2eq=0.0)
    found = emissions_interval(Valuation(rows=(clean,)), METHODS)
    assert (found.emissions_low_gco2eq, found.emissions_high_gco2eq) == (0.0, 0.0)


@pytest.mark.parametrize(("unit", "units"), [("run", 1), ("epoch", 3), ("1000_samples", 180)])
def test_the_score_is_o_plus_m_per_r(unit: str, units: float) -> None:
    """M: a server of 1,200 kg over four years, a quarter of it reserved for an hour."""
    account = AccountConfig(
        functional_unit=unit,  # type: ignore[arg-type]
        hardware_embodied_gco2eq=1_200_000,
        hardware_lifespan=timedelta(days=4 * 365),
        hardware_share=0.25,
    )
    score = sci_score(50.0, account, duration_s=3600, epochs=3, samples=180_000)
    assert score is not None
    assert score.embodied_gco2eq == pytest.approx(1_200_000 / (4 * 365 * 24) / 4)
    assert (score.functional_unit, score.units, score.operational_gco2eq) == (unit, units, 50.0)
    assert score.gco2eq_per_unit == pytest.approx((50 + score.embodied_gco2eq) / units)


def test_m_is_left_out_unless_it_is_given_and_that_shows() -> None:
    score = sci_score(50.0, AccountConfig(), duration_s=3600, epochs=1, samples=1)
    assert score is not None
    assert (score.gco2eq_per_unit, score.embodied_gco2eq) == (50.0, None)


def test_a_run_of_no_units_has_no_rate() -> None:
    assert sci_score(50.0, AccountConfig(functional_unit="epoch"), duration_s=3600, epochs=0, samples=0) is None
