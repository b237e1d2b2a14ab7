"""Bins of time hold exactly what the rows hold, whatever their width; a replayed run's power is that of real time."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.html.run_data import Bins, LedgerColumns, binned, edges_of, nice_width_s, read_columns, since_start

from tests.support.day_runs import DayRun

_BEGIN = datetime(2026, 3, 2, 17, tzinfo=UTC).timestamp()


_AMOUNTS = st.floats(0, 1e3, allow_subnormal=False)
_ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 17.3, 4000.0]), st.floats(0.01, 7200), _AMOUNTS, _AMOUNTS), min_size=1, max_size=12
)


def ledger_of(drawn: list[tuple[float, float, float, float]]) -> LedgerColumns:
    """Rows in the order of time, with gaps between some, of very different lengths and amounts."""
    gaps, lengths, energy, grams = (np.array(column) for column in zip(*drawn, strict=True))
    ends = _BEGIN + np.cumsum(gaps + lengths)
    return LedgerColumns(
        start_s=ends - lengths, end_s=ends, attempt=np.ones(len(drawn)), energy_kwh=energy, emissions_gco2eq=grams
    )


def all_of(rows: LedgerColumns, most: int) -> Bins:
    begin, end = float(rows.start_s[0]), float(rows.end_s[-1])
    return binned(rows, edges_of(begin, end, nice_width_s(end - begin, most)))


@given(drawn=_ROWS, most=st.integers(1, 300))
def test_bins_sum_to_the_rows_and_are_no_more_than_asked_for(
    drawn: list[tuple[float, float, float, float]], most: int
) -> None:
    rows = ledger_of(drawn)
    bins = all_of(rows, most)
    assert math.isclose(bins.energy_kwh.sum(), math.fsum(rows.energy_kwh), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(bins.emissions_gco2eq.sum(), math.fsum(rows.emissions_gco2eq), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(bins.covered_s.sum(), math.fsum(rows.end_s - rows.start_s), rel_tol=1e-9)
    assert (bins.energy_kwh >= 0).all()
    assert (bins.emissions_gco2eq >= 0).all()
    assert len(bins.energy_kwh) <= most + 1


@given(drawn=_ROWS)
def test_a_bin_holds_what_lies_in_it(drawn: list[tuple[float, float, float, float]]) -> None:
    rows = ledger_of(drawn)
    bins = all_of(rows, 7)
    for k in range(len(bins.energy_kwh)):
        a, b = bins.edges_s[k], bins.edges_s[k + 1]
        shared = np.clip(np.minimum(rows.end_s, b) - np.maximum(rows.start_s, a), 0, None)
        wanted = math.fsum(rows.energy_kwh * shared / (rows.end_s - rows.start_s))
        assert math.isclose(bins.energy_kwh[k], wanted, rel_tol=1e-6, abs_tol=1e-6 * rows.energy_kwh.max() + 1e-12)


def test_power_is_energy_over_covered_time_and_unknown_in_a_gap() -> None:
    bins = Bins(
        edges_s=np.array([0.0, 3600.0, 7200.0, 10_800.0]),
        energy_kwh=np.array([0.3, 0.0, 0.1]),
        emissions_gco2eq=np.array([60.0, 0.0, 20.0]),
        covered_s=np.array([3600.0, 0.0, 600.0]),
    )
    assert bins.power_w[0] == pytest.approx(300)
    assert np.isnan(bins.power_w[1])
    assert bins.power_w[2] == pytest.approx(600)
    assert bins.cumulative_gco2eq.tolist() == [0, 60, 60, 80]


def test_a_replayed_runs_power_is_of_real_time(tmp_path: Path) -> None:
    folder, _ = DayRun(hours=0.5, power_w=100.0).write(tmp_path / "run")
    rows = read_columns(folder.emissions)
    assert rows is not None
    once, replayed = since_start(rows, 1.0), since_start(rows, 120.0)
    assert replayed.end_s.max() == pytest.approx(once.end_s.max() / 120)
    ratio = binned(replayed, edges_of(0, 15, 15)).power_w[0] / binned(once, edges_of(0, 1800, 1800)).power_w[0]
    assert ratio == pytest.approx(120)


@pytest.mark.parametrize(
    ("span_s", "most", "width_s"), [(24 * 3600, 240, 600), (1, 240, 1), (100 * 86_400, 36, 259_200), (3600, 36, 120)]
)
def test_widths_are_those_that_people_count_in(span_s: float, most: int, width_s: float) -> None:
    assert nice_width_s(span_s, most) == width_s
    assert span_s / width_s <= most


def test_a_day_of_rows_is_read_as_the_tracker_reads_it(tmp_path: Path) -> None:
    run = DayRun(hours=1.0, pauses=[(0.5, 0.5)], pue=1.2)
    folder, record = run.write(tmp_path / "run")
    rows = read_columns(folder.emissions)
    assert rows is not None
    assert rows.skipped == 0
    assert len(rows) >= len(run.rows())
    assert rows.energy_kwh.sum() == pytest.approx(record.energy_kwh.total, rel=1e-12)
    assert rows.emissions_gco2eq.sum() == pytest.approx(record.emissions_gco2eq, rel=1e-12)
    assert set(rows.attempt) == {1, 2}


def test_lines_that_are_no_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    """A cut line, a time that is none, an interval that runs backwards, a figure that is none."""
    folder, _ = DayRun(hours=0.05).write(tmp_path / "run")
    head, good, *_ = folder.emissions.read_text(encoding="utf-8").splitlines()
    start, end, phase, *rest = good.split(",")
    wrong = [
        start,
        ",".join(["yesterday", end, phase, *rest]),
        ",".join([end, start, phase, *rest]),
        ",".join([start, end, phase, "nan", *rest[1:]]),
        ",".join([start, end, phase, *rest[:-1], "first"]),
    ]
    path = tmp_path / "emissions.csv"
    path.write_text("\n".join([head, *wrong, "", good]), encoding="utf-8")
    rows = read_columns(path)
    assert rows is not None
    assert (len(rows), rows.skipped) == (1, len(wrong))
