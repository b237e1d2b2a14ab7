"""What perfect knowledge would have saved, checked against closed forms and against brute force."""

import json
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.records import IntensityKind, Phase, Reading, TrainingRecord, ValuedRow
from lowtide.report.model import PerfectForesight
from lowtide.report.optimal import Piece, Steps, best_slots, best_start, curve_of, emissions_at, search
from lowtide.report.waiting import WaitEvidence, perfect_foresight_of

from tests.support.records import make_record

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
    """One kWh an hour, booked by the hour."""
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
    return WaitEvidence(rows=rows, readings=known, deadline=deadline)


def oracle(run: TrainingRecord, found: WaitEvidence) -> PerfectForesight:
    known = perfect_foresight_of(run, found)
    assert isinstance(known, PerfectForesight), known
    return known


def test_the_best_hour_is_found_and_what_the_run_got_of_it_is_said() -> None:
    """Submitted at 300 g/kWh, run at 100, best at 50: 200 of 250 g."""
    rows = rows_from(2)
    found = oracle(run_of(rows), evidence(rows))
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
    found = oracle(run_of(rows, pue=1.5), evidence(rows))
    assert (found.at_submission_gco2eq, found.as_run_gco2eq, found.emissions_gco2eq) == pytest.approx((450, 150, 75))


def test_a_run_that_hit_the_best_hour_captured_everything() -> None:
    rows = rows_from(4)
    found = oracle(run_of(rows), evidence(rows))
    assert found.captured_percent == pytest.approx(100.0)
    assert found.segments[0].start == rows[0].start


def test_nothing_is_captured_of_nothing() -> None:
    """By the deadline at 21:00 there is no other start."""
    rows = rows_from(0)
    found = oracle(run_of(rows), evidence(rows, deadline_h=1))
    assert (found.avoided_gco2eq, found.captured_percent) == (0.0, None)


def test_a_run_past_its_deadline_widens_the_window_so_that_it_is_not_beaten_by_less_time() -> None:
    rows = rows_from(4)
    found = oracle(run_of(rows), evidence(rows, deadline_h=3))
    assert found.window.end == rows[-1].end
    assert found.captured_percent == pytest.approx(100.0)


def test_a_run_in_one_piece_is_not_cut_but_one_that_paused_may_be() -> None:
    """Two hours of work: in one piece at best 100 + 150 or 150 + 50; in pieces 50 + 100."""
    rows = rows_from(2, hours=2)
    whole = oracle(run_of(rows), evidence(rows))
    assert (whole.may_pause, whole.emissions_gco2eq) == (False, pytest.approx(200.0))
    paused = [*rows_from(1), *rows_from(3, attempt=2)]
    pieces = oracle(run_of(paused, policy="interruptible"), evidence(paused))
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


grids = st.lists(st.integers(0, 900), min_size=2, max_size=8)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Piece], Steps]:
    """A run of whole minutes in a grid of steps of 20 minutes."""
    grid = draw(grids)
    window = 20 * len(grid)
    energies = draw(st.lists(st.integers(0, 9), min_size=1, max_size=min(window, 30)))
    start = draw(st.integers(0, window - len(energies)))
    pieces = [(60.0 * (start + k), 60.0 * (start + k + 1), 1, float(e)) for k, e in enumerate(energies)]
    return pieces, Steps.of([1200.0 * k for k in range(len(grid) + 1)], grid)


@settings(deadline=None)
@given(cases())
def test_the_best_start_is_that_of_trying_every_minute(case: tuple[list[Piece], Steps]) -> None:
    pieces, steps = case
    energies = [energy for *_, energy in pieces]
    window = int(steps.edges_s[-1] / 60)
    tried = [
        sum(e * steps.intensities[(s + k) // 20] for k, e in enumerate(energies))
        for s in range(window - len(energies) + 1)
    ]
    found = best_start(curve_of(pieces), steps)
    assert found.emissions_gco2eq == pytest.approx(min(tried), abs=1e-6)
    assert found.segments_s[0][0] == 60.0 * min(s for s, grams in enumerate(tried) if grams <= min(tried) * (1 + 1e-9))


@settings(deadline=None)
@given(
    grid=st.lists(st.integers(0, 900), min_size=3, max_size=7),
    energies=st.lists(st.integers(0, 9), min_size=1, max_size=3),
)
def test_the_best_pieces_are_those_of_trying_every_choice_of_minutes(grid: list[int], energies: list[int]) -> None:
    """The work is done in its order, a minute at a time; the grid has steps of a minute here."""
    steps = Steps.of([60.0 * k for k in range(len(grid) + 1)], grid)
    curve = curve_of([(60.0 * k, 60.0 * (k + 1), 1, float(e)) for k, e in enumerate(energies)])
    tried = [
        sum(e * grid[m] for e, m in zip(energies, minutes, strict=True))
        for minutes in combinations(range(len(grid)), len(energies))
    ]
    found = best_slots(curve, steps)
    assert found.emissions_gco2eq == pytest.approx(min(tried), abs=1e-9)
    assert sum(end - start for start, end in found.segments_s) == pytest.approx(60.0 * len(energies))


@settings(deadline=None)
@given(cases(), st.booleans())
def test_nothing_that_was_done_beats_the_oracle(case: tuple[list[Piece], Steps], may_pause: bool) -> None:
    pieces, steps = case
    found = search(pieces, steps, may_pause=may_pause)
    assert found.best.emissions_gco2eq <= found.as_run_gco2eq
    assert found.best.emissions_gco2eq <= found.at_submission_gco2eq * (1 + 1e-9) + 1e-9


def test_a_step_that_falls_into_a_row_divides_its_energy_by_time() -> None:
    curve = curve_of([(0.0, 100.0, 1, 10.0)])
    steps = Steps.of([0.0, 50.0, 500.0], [100.0, 300.0])
    # begun at 20: 30 s at 100, 70 s at 300
    assert emissions_at(curve, steps, np.array([20.0])) == pytest.approx([3 * 100 + 7 * 300])


def test_the_report_holds_the_oracle_as_json() -> None:
    rows = rows_from(2)
    data = json.loads(oracle(run_of(rows), evidence(rows)).model_dump_json())
    assert data["segments"] == [{"start": "2026-03-03T00:00:00Z", "end": "2026-03-03T01:00:00Z"}]
