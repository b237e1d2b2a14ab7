"""Conversions against their definitions."""

import pytest
from lowtide.units import emissions_gco2eq, gco2eq_per_kwh_from_lb_per_mwh, relative_change_percent


def test_pounds_per_mwh_become_grams_per_kwh_by_the_international_pound() -> None:
    assert gco2eq_per_kwh_from_lb_per_mwh(1000.0) == pytest.approx(453.59237)


def test_emissions_are_energy_times_intensity_with_pue_once() -> None:
    assert emissions_gco2eq(2.0, 300.0) == 600.0
    assert emissions_gco2eq(2.0, 300.0, pue=1.5) == 900.0


def test_a_change_against_zero_has_no_percentage() -> None:
    assert relative_change_percent(90.0, 100.0) == pytest.approx(-10.0)
    assert relative_change_percent(5.0, 0.0) is None
