"""Clean means: as clean as the cleanest part of the last days; who does not know them says so."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from lowtide.grid.outlook import Outlook
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Reason

from tests.support.grid import HOUR, T0, curve, job, prediction, reading

WAITING = job(policy="percentile", threshold_gco2eq_per_kwh=None, percentile=25.0, percentile_window=timedelta(days=3))


@dataclass(frozen=True)
class Days:
    """Values of equal weight; the window's length in days is added, so that a test sees which was asked for."""

    values: tuple[float, ...]

    def __call__(self, percent: float, window: timedelta) -> float | None:
        if not self.values:
            return None
        return sorted(self.values)[int(percent / 100 * len(self.values))] + window / timedelta(days=1)


@pytest.mark.parametrize(("value", "action"), [(123.0, Action.RUN), (123.1, Action.WAIT)])
def test_it_starts_at_or_below_the_percentile_of_the_window_asked_for(value: float, action: Action) -> None:
    decision = decide(WAITING, T0, Outlook(reading=reading(value), trailing=Days((100.0, 120.0, 140.0, 160.0))))
    assert decision.action is action
    assert decision.threshold_gco2eq_per_kwh == 123.0
    assert decision.reason is (Reason.BELOW_THRESHOLD if action is Action.RUN else Reason.ABOVE_THRESHOLD)
    assert "123 g/kWh, percentile 25 of the last 3d" in decision.text


@pytest.mark.parametrize("trailing", [None, Days(())])
def test_without_the_last_days_it_goes_by_what_is_to_come_and_says_so(trailing: Days | None) -> None:
    outlook = Outlook(reading=reading(300.0), trailing=trailing, prediction=prediction([300.0] * 3 + [100.0] * 20))
    decision = decide(WAITING, T0, outlook)
    assert decision.planned_start == T0 + 3 * HOUR
    assert decision.text.startswith(
        "waiting: too little is known of the last 3d in GB for a percentile; by the forecast"
    )
    ordered = replace(outlook, prediction=None, shape=curve([300.0] * 4 + [100.0] * 20))
    assert decide(WAITING, T0, ordered).planned_start == T0 + 4 * HOUR
    assert decide(WAITING, T0, replace(ordered, shape=())).reason is Reason.SIGNAL_UNAVAILABLE


def test_grams_of_another_meaning_are_not_held_against_the_percentile() -> None:
    outlook = Outlook(
        reading=reading(1.0), trailing=Days((100.0,)), threshold_comparable=False, shape=curve([9.0] * 2 + [1.0] * 20)
    )
    assert decide(WAITING, T0, outlook).planned_start == T0 + 2 * HOUR


def test_a_failing_provider_is_given_its_chances_first() -> None:
    outlook = Outlook(trailing=Days((100.0,)), failed_checks=1, shape=curve([9.0] * 2 + [1.0] * 20))
    assert decide(WAITING, T0, outlook).reason is Reason.SIGNAL_UNAVAILABLE
    assert decide(WAITING, T0, replace(outlook, failed_checks=3)).reason is Reason.FORECAST_MINIMUM
