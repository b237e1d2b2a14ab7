"""What perfect foresight would have saved, checked against closed forms and against brute force."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.records import IntensityKind, Phase, Reading, TrainingRecord, ValuedRow
from lowtide.report.model import PerfectForesight
from lowtide.report.waiting import Delay, WaitEvidence, perfect_foresight_of

from tests.support.records import make_record
from tests.support.valuing import value_interval

SUBMITTED = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
HOURS = (300.0, 200.0, 100.0, 150.0, 50.0, 400.0)


def reading(hour: int, value: float, kind: IntensityKind = IntensityKind.MEASURED) -> Reading:
    return Reading(
        zone="GB",
        start=SUBMITTED + timedelta(hours=hour),
        end=SUBMITTED + timedelta(hours=hour + 1),
        carbon_intensity_gco2eq_per_kwh=value,
        source="neso",
        kind=kind,
        signal_type="average",  # type: ignore[arg-type]
        emission_factor_type="lifecycle",  # type: ignore[arg-type]
    )


def rows_from(hour: float, *, hours: int = 1, attempt: int = 1) -> list[ValuedRow]:
    """One kWh an hour, a row an hour."""
    rows = []
    for k in range(hours):
        start = SUBMITTED + timedelta(hours=hour + k)
        value = HOURS[int(hour + k)]
        row = {"start": start, "end": start + timedelta(hours=1), "phase": Phase.TRAIN, "attempt": attempt}
        energy = {"cpu_energy_kwh": 1.0, "gpu_energy_kwh": 0.0, "ram_energy_kwh": 0.0, "emissions_gco2eq": value}
        grid = {"intensity_kind": IntensityKind.MEASURED, "intensity_source": "neso", "monotonic_s": 0.0}
        means = {"signal_type": "average", "emission_factor_type": "lifecycle"}
        known = {"carbon_intensity_gco2eq_per_kwh": value}
        rows.append(ValuedRow(**(row | energy | grid | means | known)))  # type: ignore[arg-type]
    return rows


def run_of(rows: list[ValuedRow], **changes: object) -> TrainingRecord:
    grams = sum(row.emissions_gco2eq for row in rows)
    fields: dict[str, object] = {
        "policy": "window",
        "submitted_at": SUBMITTED,
        "started_at": rows[0].start,
        "ended_at": rows[-1].end,
        "cpu_kwh": float(len(rows)),
        "gpu_kwh": 0.0,
        "ram_kwh": 0.0,
        "grid_gco2eq_per_kwh": grams / len(rows),
    }
    return make_record(**(fields | changes))  # type: ignore[arg-type]


def evidence(
    rows: list[ValuedRow], *, deadline_h: float | None = 6, readings: list[Reading] | None = None
) -> WaitEvidence:
    known = [reading(hour, value) for hour, value in enumerate(HOURS)] if readings is None else readings
    deadline = None if deadline_h is None else SUBMITTED + timedelta(hours=deadline_h)
    return WaitEvidence(rows=rows, readings=known, delay=Delay(deadline=deadline))


def best_plan(run: TrainingRecord, found: WaitEvidence) -> PerfectForesight:
    known = perfect_foresight_of(run, found)
    assert isinstance(known, PerfectForesight), known
    return known


def test_the_best_hour_is_found_and_what_the_run_got_of_it_is_said() -> None:
    """Submitted at 300 g/kWh, run at 100, best at 50: 200 of 250 g."""
    rows = rows_from(2)
    found = best_plan(run_of(rows), evidence(rows))
    assert (found.at_submission_gco2eq, found.as_run_gco2eq, found.emissions_gco2eq) == pytest.approx((300, 100, 50))
    assert found.avoided_gco2eq == pytest.approx(250.0)
    assert found.avoided_percent == pytest.approx(100 * 250 / 300)
    assert found.captured_percent == pytest.approx(80.0)
    assert [(s.start, s.end) for s in found.segments] == [
        (SUBMITTED + timedelta(hours=4), SUBMITTED + timedelta(hours=5))
    ]
    assert (found.intensity_kinds, found.sources) == ({"measured": pytest.approx(1.0)}, ("neso",))


def test_the_sites_overhead_counts_in_all_of_them() -> None:
    rows = rows_from(2)
    found = best_plan(run_of(rows, pue=1.5), evidence(rows))
    assert (found.at_submission_gco2eq, found.as_run_gco2eq, found.emissions_gco2eq) == pytest.approx((450, 150, 75))


def test_a_run_that_hit_the_best_hour_captured_everything() -> None:
    rows = rows_from(4)
    found = best_plan(run_of(rows), evidence(rows))
    assert found.captured_percent == pytest.approx(100.0)
    assert found.segments[0].start == rows[0].start


def test_a_run_whose_power_varies_is_compared_with_the_block_that_suits_its_energy() -> None:
    """0.9 of its kWh in the first of two hours: at mean power 150 and 150 g/kWh look best, and 10 before 400 is."""
    hours = (300.0, 300.0, 10.0, 400.0, 150.0, 150.0, 300.0)
    rows = [
        replace(row, cpu_energy_kwh=kwh, carbon_intensity_gco2eq_per_kwh=150.0, emissions_gco2eq=150.0 * kwh)
        for row, kwh in zip(rows_from(4, hours=2), (0.9, 0.1), strict=True)
    ]
    known = [reading(hour, value) for hour, value in enumerate(hours)]
    found = best_plan(run_of(rows, cpu_kwh=1.0), evidence(rows, deadline_h=7, readings=known))
    assert found.emissions_gco2eq == pytest.approx(0.9 * 10 + 0.1 * 400)
    assert found.captured_percent == pytest.approx(100 * (300 - 150) / (300 - 49))


def test_nothing_is_captured_of_nothing() -> None:
    """By the deadline at 21:00 there is no other start."""
    rows = rows_from(0)
    found = best_plan(run_of(rows), evidence(rows, deadline_h=1))
    assert (found.avoided_gco2eq, found.captured_percent) == (0.0, None)


def test_a_run_past_its_deadline_widens_the_window_so_that_it_is_not_beaten_by_less_time() -> None:
    rows = rows_from(4)
    found = best_plan(run_of(rows), evidence(rows, deadline_h=3))
    assert found.window.end == rows[-1].end
    assert found.captured_percent == pytest.approx(100.0)


def test_a_run_in_one_piece_is_not_cut_but_one_that_paused_may_be() -> None:
    """Two hours of work: in one piece at best 100 + 150 or 150 + 50; in pieces 50 + 100."""
    rows = rows_from(2, hours=2)
    whole = best_plan(run_of(rows), evidence(rows))
    assert (whole.may_pause, whole.emissions_gco2eq) == (False, pytest.approx(200.0))
    paused = [*rows_from(1), *rows_from(3, attempt=2)]
    pieces = best_plan(run_of(paused, policy="interruptible"), evidence(paused))
    assert (pieces.may_pause, pieces.emissions_gco2eq) == (True, pytest.approx(150.0))
    assert len(pieces.segments) == 2
    assert pieces.at_submission_gco2eq == pytest.approx(500.0)  # 300 + 200: without waiting there would be no pause
    assert pieces.captured_percent == pytest.approx(100 * (500 - 350) / (500 - 150))


@pytest.mark.parametrize(
    ("changes", "found", "said"),
    [
        ({"policy": "immediate"}, evidence(rows_from(2)), "did not wait for the grid"),
        ({}, WaitEvidence(missing="the ledger is gone"), "the ledger is gone"),
        ({}, WaitEvidence(), "has no rows"),
        ({}, evidence(rows_from(2), deadline_h=None), "deadline is not known"),
        ({"submitted_at": SUBMITTED + timedelta(hours=3)}, evidence(rows_from(2)), "begins before its submission"),
        (
            {},
            evidence(rows_from(2), readings=[reading(h, HOURS[h]) for h in range(3)]),
            "known for 50.0 % of the wait's window only: not from 2026-03-02T23:00:00Z",
        ),
        (
            {},
            evidence(rows_from(2), readings=[reading(h, HOURS[h]) for h in (0, 1, 2, 4, 5)]),
            "not from 2026-03-02T23:00:00Z",
        ),
        (
            {},
            evidence(rows_from(2), readings=[reading(h, v, IntensityKind.FORECAST) for h, v in enumerate(HOURS)]),
            "known for 0.0 % of the wait's window only",
        ),
        ({"emission_factor_type": "direct"}, evidence(rows_from(2)), "known for 0.0 %"),
    ],
)
def test_what_is_not_known_is_said_and_not_guessed(changes: dict[str, object], found: WaitEvidence, said: str) -> None:
    fields = {"started_at": SUBMITTED + timedelta(hours=5)} if "submitted_at" in changes else {}
    known = perfect_foresight_of(run_of(rows_from(2), **(fields | changes)), found)
    assert isinstance(known, str)
    assert said in known


grids = st.lists(st.integers(0, 900).map(float), min_size=2, max_size=6)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[float], list[int], int]:
    """A grid of hours, the energy of each quarter of an hour of work, and the quarter in which it started."""
    hours = draw(grids)
    energies = draw(st.lists(st.integers(0, 9), min_size=1, max_size=min(4 * len(hours), 8)))
    return hours, energies, draw(st.integers(0, 4 * len(hours) - len(energies)))


def placed(hours: list[float], energies: list[int], start: int, **changes: object) -> PerfectForesight:
    """Return what perfect foresight makes of work in quarters of an hour."""
    grid = [reading(hour, value) for hour, value in enumerate(hours)]
    quarter = timedelta(minutes=15)
    rows = [
        row
        for k, energy in enumerate(energies)
        for row in value_interval(
            SUBMITTED + (start + k) * quarter,
            SUBMITTED + (start + k + 1) * quarter,
            (float(energy), 0.0, 0.0),
            grid,
            phase=Phase.TRAIN,
            attempt=1,
            monotonic_s=0.0,
            pue=1.0,
        )
    ]
    return best_plan(run_of(rows, **changes), evidence(rows, deadline_h=len(hours), readings=grid))


@settings(deadline=None)
@given(grid=grids, work=st.integers(1, 8), start=st.integers(0, 24))
def test_at_constant_power_the_best_start_is_that_of_trying_every_quarter(
    grid: list[float], work: int, start: int
) -> None:
    last = 4 * len(grid) - work
    tried = [sum(grid[(first + k) // 4] for k in range(work)) for first in range(last + 1)]
    found = placed(grid, [1] * work, min(start, last))
    assert found.emissions_gco2eq == pytest.approx(min(tried), abs=1e-6)


@settings(deadline=None)
@given(grid=grids, work=st.integers(1, 6))
def test_at_constant_power_the_best_pieces_are_the_cleanest_quarters(grid: list[float], work: int) -> None:
    found = placed(grid, [1] * work, 0, policy="interruptible")
    quarters = sorted(value for value in grid for _ in range(4))
    assert found.emissions_gco2eq == pytest.approx(sum(quarters[:work]), abs=1e-6)
    length = sum((span.end - span.start for span in found.segments), timedelta(0))
    assert length == work * timedelta(minutes=15)


@settings(deadline=None)
@given(cases(), st.sampled_from(["window", "interruptible"]))
def test_nothing_that_was_done_beats_perfect_foresight(case: tuple[list[float], list[int], int], policy: str) -> None:
    hours, energies, start = case
    found = placed(hours, energies, start, policy=policy)
    assert found.emissions_gco2eq <= found.as_run_gco2eq
    assert found.emissions_gco2eq <= found.at_submission_gco2eq * (1 + 1e-9) + 1e-9
    done = sum(energy * hours[(start + k) // 4] for k, energy in enumerate(energies))
    at_submission = sum(energy * hours[k // 4] for k, energy in enumerate(energies))
    assert (found.as_run_gco2eq, found.at_submission_gco2eq) == pytest.approx((done, at_submission), abs=1e-6)


def test_a_step_that_falls_into_a_row_divides_its_energy_by_time() -> None:
    """One kWh from 21:30 to 22:30: half of it at 200, half at 100 g/kWh."""
    half = timedelta(minutes=30)
    shifted = [replace(row, start=row.start + half, end=row.end + half) for row in rows_from(1)]
    found = best_plan(run_of(shifted), evidence(shifted))
    assert found.as_run_gco2eq == pytest.approx((200 + 100) / 2)


def test_the_report_holds_it_as_json() -> None:
    rows = rows_from(2)
    data = json.loads(best_plan(run_of(rows), evidence(rows)).model_dump_json())
    assert data["segments"] == [{"start": "2026-03-03T00:00:00Z", "end": "2026-03-03T01:00:00Z"}]
