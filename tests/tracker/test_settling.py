"""Rows booked again at the grid's actual figures: what changes, what must not, and what is kept."""

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.records import EmissionFactorType, IntensityKind, LedgerRow, Reading, SignalType
from lowtide.tracker.emissions import actual_readings, settle_rows

from tests.tracker.tracker_tools import T0, reading, row

LATER = T0 + timedelta(days=2)
MEANING = (SignalType.AVERAGE, EmissionFactorType.DIRECT)


def forecast_row(k: int = 0, **changes: object) -> LedgerRow:
    return replace(row(k), **{"intensity_kind": IntensityKind.FORECAST, **changes})  # type: ignore[arg-type]


def actual(
    start_s: float, end_s: float, value: float, kind: IntensityKind = IntensityKind.MEASURED, source: str = "neso"
) -> Reading:
    return reading(T0 + timedelta(seconds=start_s), T0 + timedelta(seconds=end_s), value, kind=kind, source=source)


def settled(rows: list[LedgerRow], *actuals: Reading, pue: float = 1.0, at: datetime = LATER) -> list[LedgerRow]:
    return settle_rows(rows, actual_readings(actuals, MEANING, now=LATER), pue=pue, settled_at=at)


def test_a_forecast_row_is_booked_at_the_actual_figure_and_keeps_what_it_was_booked_at_first() -> None:
    (after,) = settled([forecast_row()], actual(-600, 1200, 80.0))
    assert (after.carbon_intensity_gco2eq_per_kwh, after.intensity_kind, after.intensity_source) == (
        80.0,
        IntensityKind.MEASURED,
        "neso",
    )
    assert after.emissions_gco2eq == pytest.approx(row().energy_kwh * 80, rel=1e-12)
    assert (
        after.booked_carbon_intensity_gco2eq_per_kwh,
        after.booked_intensity_kind,
        after.booked_intensity_source,
        after.booked_emissions_gco2eq,
    ) == (100.0, IntensityKind.FORECAST, "test", forecast_row().emissions_gco2eq)
    assert after.settled_at == LATER
    assert LedgerRow.from_json(json.loads(after.as_json_line())) == after


def test_a_row_is_split_where_the_actual_intervals_meet_and_its_energy_stays() -> None:
    before = replace(
        forecast_row(), machine_cpu_energy_kwh=3e-3, machine_gpu_energy_kwh=0.0, machine_ram_energy_kwh=0.0
    )
    first, second = settled([before], actual(-10, 2, 80.0), actual(2, 100, 40.0), pue=1.5)
    assert (first.end, second.start) == (T0 + timedelta(seconds=2),) * 2
    assert first.cpu_energy_kwh == pytest.approx(before.cpu_energy_kwh * 0.4, rel=1e-12)
    for name in ("cpu_energy_kwh", "gpu_energy_kwh", "ram_energy_kwh", "machine_cpu_energy_kwh"):
        assert getattr(first, name) + getattr(second, name) == pytest.approx(getattr(before, name), rel=1e-12)
    assert first.emissions_gco2eq == pytest.approx(first.energy_kwh * 1.5 * 80, rel=1e-12)
    assert second.booked_emissions_gco2eq == pytest.approx(second.energy_kwh * 1.5 * 100, rel=1e-12)
    assert (first.monotonic_s, second.monotonic_s) == (before.monotonic_s - 3, before.monotonic_s)


def test_the_part_without_an_actual_figure_stays_as_it_was_booked() -> None:
    known, unknown = settled([forecast_row()], actual(-10, 2, 80.0))
    assert known.settled_at == LATER
    assert (unknown.settled_at, unknown.intensity_kind) == (None, IntensityKind.FORECAST)
    assert unknown.emissions_gco2eq == pytest.approx(unknown.energy_kwh * 100, rel=1e-12)


def test_a_later_revision_settles_again_and_the_first_booking_stays_the_first() -> None:
    once = settled([forecast_row()], actual(-10, 100, 80.0, IntensityKind.ESTIMATED))
    (twice,) = settled(once, actual(-10, 100, 60.0), at=LATER + timedelta(days=1))
    assert (twice.carbon_intensity_gco2eq_per_kwh, twice.booked_carbon_intensity_gco2eq_per_kwh) == (60.0, 100.0)
    assert twice.settled_at == LATER + timedelta(days=1)


@pytest.mark.parametrize(
    ("before", "figure"),
    [
        (forecast_row(intensity_kind=IntensityKind.REPLAYED), actual(-10, 100, 80.0)),
        (forecast_row(intensity_kind=IntensityKind.MEASURED), actual(-10, 100, 80.0, IntensityKind.ESTIMATED)),
        (forecast_row(), actual(-10, 100, 80.0, IntensityKind.FORECAST)),
        (forecast_row(), actual(-10, 100, 80.0, IntensityKind.MODELLED)),
        (forecast_row(), replace(actual(-10, 100, 80.0), emission_factor_type=EmissionFactorType.LIFECYCLE)),
        (forecast_row(), replace(actual(-10, 100, 80.0), signal_type=SignalType.MARGINAL)),
        (forecast_row(), actual(-10, 3 * 86_400, 80.0)),
        (forecast_row(), actual(100, 200, 80.0)),
        (row(), actual(-10, 100, 100.0, source="test")),
    ],
    ids=["replayed", "worse", "forecast", "modelled", "lifecycle", "marginal", "unfinished", "elsewhere", "same"],
)
def test_what_is_no_better_actual_figure_of_the_same_meaning_changes_nothing(
    before: LedgerRow, figure: Reading
) -> None:
    assert settled([before], figure) == [before]


def test_a_row_booked_at_another_factor_type_comes_home_to_the_runs_own() -> None:
    away = forecast_row(intensity_kind=IntensityKind.MODELLED, emission_factor_type=EmissionFactorType.LIFECYCLE)
    (home,) = settled([away], actual(-10, 100, 80.0, IntensityKind.ESTIMATED))
    assert (home.emission_factor_type, home.carbon_intensity_gco2eq_per_kwh) == (EmissionFactorType.DIRECT, 80.0)


@given(
    cuts=st.lists(st.floats(-20, 120), max_size=8, unique=True),
    values=st.lists(st.floats(0, 900), min_size=9, max_size=9),
    pue=st.floats(1, 2),
)
def test_energy_and_first_bookings_survive_any_settlement_and_a_second_one_changes_nothing(
    cuts: list[float], values: list[float], pue: float
) -> None:
    rows = [replace(forecast_row(k), emissions_gco2eq=row().energy_kwh * pue * 100) for k in range(20)]
    edges = [round(cut, 3) for cut in sorted(cuts)]
    actuals = [actual(a, b, value) for (a, b), value in zip(pairwise(edges), values, strict=False) if a < b]
    after = settled(rows, *actuals, pue=pue)
    assert math.fsum(r.energy_kwh for r in after) == pytest.approx(math.fsum(r.energy_kwh for r in rows), rel=1e-12)
    first = (r.emissions_gco2eq if r.booked_emissions_gco2eq is None else r.booked_emissions_gco2eq for r in after)
    assert math.fsum(first) == pytest.approx(math.fsum(r.emissions_gco2eq for r in rows), rel=1e-9)
    assert all(one.end == two.start for one, two in pairwise(after))
    assert after[0].start == rows[0].start
    assert after[-1].end == rows[-1].end
    assert settled(after, *actuals, pue=pue, at=LATER + timedelta(days=1)) == after
