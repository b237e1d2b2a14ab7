"""A look is told in three lines at most: the decision, the steps of a fallback, the hours to come."""

from dataclasses import replace
from datetime import timedelta

from lowtide.grid.outlook import Outlook, Prediction
from lowtide.grid.series import IntensityCurve
from lowtide.scheduler.waiting import DecisionEvent, decided, sparkline

from tests.support.grid import HOUR, T0, job, reading

NIGHT = [200.0, 180.0, 150.0, 100.0, 100.0, 150.0, 180.0, 200.0, 220.0, 240.0, 250.0, 260.0]


def outlook(values=NIGHT, **changes):
    edges = [(T0 + i * HOUR).timestamp() for i in range(len(values) + 1)]
    prediction = Prediction(curve=IntensityCurve(edges, values), source="neso", issued_at=T0)
    return Outlook(reading=reading(values[0]), prediction=prediction, **changes)


def looked(seen: Outlook | None = None, **changes) -> DecisionEvent:
    return decided(job(policy="window", minimum_gain_percent=0.0, **changes), T0, seen or outlook())


def test_a_wait_by_a_forecast_says_what_it_waits_for_and_draws_the_hours_until_the_deadline():
    first, drawn = looked().lines()
    assert "a start at 2026-03-03 01:00 UTC has 100 g/kWh, 47 % less than the 190 of a start now" in first
    # GB keeps UTC in March; 10 hours until the deadline, one character each
    assert (
        drawn == "22:00 ▆▅▄▁▁▄▅▆▇█ 08:00 (Europe/London), 100 to 240 g/kWh by the hour; chosen Tue 01:00 for 2 h 00 min"
    )


def test_a_fallback_adds_its_steps_as_one_line_and_three_is_the_most():
    seen = outlook(steps=("neso: timed out", "last good reading: none", "profile: 200 g/kWh (modelled)"))
    lines = looked(seen).lines()
    assert len(lines) == 3
    assert lines[1] == "[neso: timed out; last good reading: none; profile: 200 g/kWh (modelled)]"


def test_a_start_and_a_wait_without_a_forecast_draw_nothing():
    clean = replace(outlook(), prediction=None)
    assert len(decided(job(threshold_gco2eq_per_kwh=300.0), T0, clean).lines()) == 1
    assert len(decided(job(threshold_gco2eq_per_kwh=90.0), T0, clean).lines()) == 1


def test_a_short_outlook_is_drawn_as_far_as_it_goes_and_gaps_are_dots():
    values = [200.0, float("nan"), 150.0, 100.0, 100.0, 150.0]
    assert looked(outlook(values)).lines()[-1].startswith("22:00 █·▅▁▁▅ 04:00 (Europe/London)")


def test_a_flat_outlook_is_a_flat_line():
    assert sparkline([5.0, 5.0, None]) == "▁▁·"


def test_the_zone_s_own_clock_is_written():
    there = decided(job(policy="window", zone="US-CAL-CISO", minimum_gain_percent=0.0), T0, outlook())
    assert there.lines()[-1].startswith("14:00 ")
    assert "America/Los_Angeles" in there.lines()[-1]


def test_a_job_in_pieces_says_how_many():
    pieces = [100.0, 300.0, 300.0, 100.0, 300.0, 300.0, 300.0, 300.0, 300.0, 300.0]
    told = decided(
        job(policy="interruptible", submitted_at=T0, minimum_gain_percent=0.0, expected_duration=2 * HOUR),
        T0,
        outlook([300.0, *pieces[:9]]),
    )
    assert told.decision.planned_start == T0 + timedelta(hours=1)
    assert told.lines()[-1].endswith("and 1 more piece")
