"""A check is logged in two lines at most: the decision, and the steps of a fallback."""

from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.scheduler.waiting import DecisionEvent, evaluate

from tests.support.grid import HOUR, T0, job, reading

NIGHT = [200.0, 180.0, 150.0, 100.0, 100.0, 150.0, 180.0, 200.0, 220.0, 240.0, 250.0, 260.0]


def outlook(values=NIGHT, **changes):
    edges = [(T0 + i * HOUR).timestamp() for i in range(len(values) + 1)]
    prediction = Prediction(curve=IntensityCurve(edges, values), source="neso", issued_at=T0)
    return Outlook(reading=reading(values[0]), prediction=prediction, **changes)


def checked(seen: Outlook | None = None, **changes) -> DecisionEvent:
    return evaluate(job(policy="window", minimum_gain_percent=0.0, **changes), T0, seen or outlook())


def test_a_wait_by_a_forecast_says_what_it_waits_for():
    (text,) = checked().lines()
    assert "a start at 2026-03-03 01:00 UTC has 100 g/kWh, 47 % less than the 190 of a start now" in text


def test_a_fallback_adds_its_steps_as_one_line():
    seen = outlook(steps=("neso: timed out", "last good reading: none", "profile: 200 g/kWh (modelled)"))
    lines = checked(seen).lines()
    assert lines[1:] == ["[neso: timed out; last good reading: none; profile: 200 g/kWh (modelled)]"]
