"""The join of energy and intensity: what counts at each time, what must not change, and what is left unvalued."""

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.records import (
    INTENSITY_NAME,
    EmissionFactorType,
    IntensityKind,
    KnownIntensity,
    LedgerRow,
    Reading,
    SignalType,
    read_intensity,
)
from lowtide.tracker.emissions import Valuation, value_rows
from lowtide.tracker.ledger import IntensityLog

from tests.tracker.tracker_tools import T0, known, reading, row

LATER = T0 + timedelta(days=2)
MEANING = (SignalType.AVERAGE, EmissionFactorType.DIRECT)


def at(
    start_s: float, end_s: float, value: float, kind: IntensityKind = IntensityKind.MEASURED, source: str = "neso"
) -> Reading:
    return reading(T0 + timedelta(seconds=start_s), T0 + timedelta(seconds=end_s), value, kind=kind, source=source)


FORECAST = known([at(-600, 1200, 100.0, IntensityKind.FORECAST, "test")])


def valued(*entries: KnownIntensity, rows: tuple[LedgerRow, ...] = (row(),), pue: float = 1.0) -> Valuation:
    return value_rows(rows, entries, pue=pue, meaning=MEANING)


def test_a_measured_figure_counts_before_a_forecast_and_the_forecast_still_does_at_its_time() -> None:
    entries = [*FORECAST, *known([at(-600, 1200, 80.0)], LATER)]
    (now,) = valued(*entries).rows
    assert (now.carbon_intensity_gco2eq_per_kwh, now.intensity_kind, now.intensity_source) == (
        80.0,
        IntensityKind.MEASURED,
        "neso",
    )
    assert now.emissions_gco2eq == pytest.approx(row().energy_kwh * 80, rel=1e-12)
    (first,) = value_rows([row()], entries, pue=1.0, meaning=MEANING, as_of=T0).rows
    assert (first.carbon_intensity_gco2eq_per_kwh, first.intensity_kind) == (100.0, IntensityKind.FORECAST)


def test_a_row_is_split_where_the_intensity_changes_and_its_energy_stays() -> None:
    before = replace(row(), machine_cpu_energy_kwh=3e-3, machine_gpu_energy_kwh=0.0, machine_ram_energy_kwh=0.0)
    first, second = valued(*known([at(-10, 2, 80.0), at(2, 100, 40.0)]), rows=(before,), pue=1.5).rows
    assert (first.end, second.start) == (T0 + timedelta(seconds=2),) * 2
    assert first.cpu_energy_kwh == pytest.approx(before.cpu_energy_kwh * 0.4, rel=1e-12)
    for name in ("cpu_energy_kwh", "gpu_energy_kwh", "ram_energy_kwh", "machine_cpu_energy_kwh"):
        assert getattr(first, name) + getattr(second, name) == pytest.approx(getattr(before, name), rel=1e-12)
    assert first.emissions_gco2eq == pytest.approx(first.energy_kwh * 1.5 * 80, rel=1e-12)


def test_the_part_without_a_better_figure_keeps_the_forecast_and_one_without_any_is_unvalued() -> None:
    better = known([at(-10, 2, 80.0)], LATER)
    actual, forecast = valued(*FORECAST, *better).rows
    assert (actual.intensity_kind, forecast.intensity_kind) == (IntensityKind.MEASURED, IntensityKind.FORECAST)
    alone = valued(*better)
    assert alone.rows[0].end == alone.unvalued[0].start == T0 + timedelta(seconds=2)
    assert alone.energy_kwh == pytest.approx(row().energy_kwh, rel=1e-12)


def test_of_one_kind_the_newest_counts() -> None:
    entries = [*known([at(-10, 100, 60.0)], LATER), *known([at(-10, 100, 80.0)], T0)]
    assert [part.carbon_intensity_gco2eq_per_kwh for part in valued(*entries).rows] == [60.0]


@pytest.mark.parametrize(
    "figure",
    [
        at(-10, 100, 80.0, IntensityKind.CACHED),
        at(-10, 100, 80.0, IntensityKind.MODELLED),
        replace(at(-10, 100, 80.0), emission_factor_type=EmissionFactorType.LIFECYCLE),
        replace(at(-10, 100, 80.0), signal_type=SignalType.MARGINAL),
        at(100, 200, 80.0),
    ],
    ids=["cached", "modelled", "lifecycle", "marginal", "elsewhere"],
)
def test_what_is_no_better_figure_of_the_same_meaning_changes_nothing(figure: Reading) -> None:
    (part,) = valued(*FORECAST, *known([figure], LATER)).rows
    assert part.carbon_intensity_gco2eq_per_kwh == 100.0


@given(
    spans=st.lists(
        st.tuples(st.floats(-20, 120), st.floats(0.001, 60), st.floats(0, 900), st.sampled_from(list(IntensityKind))),
        max_size=12,
    ),
    pue=st.floats(1, 2),
)
def test_energy_survives_any_intensities_and_each_time_has_the_best_of_them(
    spans: list[tuple[float, float, float, IntensityKind]], pue: float
) -> None:
    entries = [
        KnownIntensity(reading=at(a, a + length, value, kind), learnt_at=T0 + timedelta(seconds=k % 3))
        for k, (a, length, value, kind) in enumerate(spans)
        if timedelta(seconds=a + length) > timedelta(seconds=a)
    ]
    rows = tuple(row(k) for k in range(20))
    found = valued(*entries, rows=rows, pue=pue)
    parts = sorted((*found.rows, *found.unvalued), key=lambda part: part.start)
    assert math.fsum(p.energy_kwh for p in parts) == pytest.approx(math.fsum(r.energy_kwh for r in rows), rel=1e-9)
    assert all(one.end == two.start for one, two in pairwise(parts))
    assert (parts[0].start, parts[-1].end) == (rows[0].start, rows[-1].end)
    for part in found.rows:
        assert part.carbon_intensity_gco2eq_per_kwh == best(entries, part.start)
    assert all(best(entries, part.start) is None for part in found.unvalued)


def best(entries: list[KnownIntensity], time: datetime) -> float | None:
    """By the contract's words, one instant at a time."""
    order = list(IntensityKind)
    covering = [entry for entry in entries if entry.reading.covers(time)]
    covering.sort(key=lambda entry: (order.index(entry.reading.kind), -entry.learnt_at.timestamp()))
    return covering[0].reading.carbon_intensity_gco2eq_per_kwh if covering else None


def test_what_is_known_of_the_grid_is_appended_once_and_comes_back(tmp_path: Path) -> None:
    log = IntensityLog(tmp_path)
    assert log.append([at(0, 10, 80.0), at(10, 20, 90.0)], T0) == 2
    assert log.append([at(0, 10, 80.0), at(10, 20, 70.0)], LATER) == 1
    assert IntensityLog(tmp_path).append([at(10, 20, 70.0)], LATER) == 0
    entries, problems = read_intensity(tmp_path)
    assert [(e.reading.carbon_intensity_gco2eq_per_kwh, e.learnt_at) for e in entries] == [
        *((80.0, T0), (90.0, T0), (70.0, LATER))
    ]
    assert problems == []
    for line in (tmp_path / INTENSITY_NAME).read_text().splitlines():
        assert {"start", "end", "kind", "source", "signal_type", "emission_factor_type", "learnt_at"} <= {
            *json.loads(line)
        }


def test_a_line_torn_at_any_byte_costs_that_line_only(tmp_path: Path) -> None:
    """A killed process leaves half a line: it is left out, and the next append takes its place."""
    IntensityLog(tmp_path).append([at(0, 10, 80.0)], T0)
    path = tmp_path / INTENSITY_NAME
    whole = path.read_bytes()
    second = KnownIntensity(reading=at(10, 20, 90.0), learnt_at=T0).as_json_line().encode()
    for cut in range(1, len(second) - 1):
        path.write_bytes(whole + second[:cut])
        entries, problems = read_intensity(tmp_path)
        assert (len(entries), len(problems)) == (1, 1)
        assert IntensityLog(tmp_path).append([at(10, 20, 90.0)], T0) == 1
        assert path.read_bytes() == whole + second
