"""The fallback chain with a history: which step is used, what is compared, what orders the hours."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from lowtide.config.zones import find_zone
from lowtide.errors import ArtifactError
from lowtide.grid.client import IntensityClient, ProviderClient
from lowtide.grid.http import Limits, Transport
from lowtide.grid.outlook import ForecastCombiner, HistoryPredictor
from lowtide.grid.providers.neso import NesoProvider
from lowtide.records import EmissionFactorType, IntensityKind, Reading
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Reason

from tests.support.grid import HOUR, job, reading
from tests.support.loopback import Loopback, json_answer, status
from tests.support.neso import HALF_HOUR, slots

NOW = datetime(2026, 3, 2, 22, 10, tzinfo=UTC)
SLOT = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        running.route("/intensity", json_answer(slots(SLOT, 90)), status(503))
        yield running


@dataclass
class Past:
    """The actual values of some days, all alike, or a history that is damaged."""

    days: int
    value: float = 80.0
    damaged: bool = False

    def __call__(self, now: datetime) -> tuple[Reading, ...]:
        if self.damaged:
            raise ArtifactError("part 7 is cut off; remove it")
        return tuple(reading(self.value, SLOT - n * HOUR) for n in range(24 * self.days, 0, -1))


def signal(server: Loopback, past: Past | None) -> IntensityClient:
    zone = find_zone("GB")
    feed = ProviderClient(provider=NesoProvider(), transport=Transport(server.url, limits=Limits(retries=0)), zone=zone)
    history = None if past is None else HistoryPredictor(past, zone.timezone)
    return IntensityClient(zone, feed, combiner=ForecastCombiner(history))


def names(steps: tuple[str, ...]) -> list[str]:
    return [step.split(":")[0].split(",")[0] for step in steps]


def test_the_steps_come_in_order_and_end_at_the_first_that_has_a_reading(server: Loopback) -> None:
    looked = signal(server, Past(20))
    assert names(looked.outlook(NOW).steps) == ["neso"]
    assert names(looked.outlook(NOW).steps) == ["neso", "last good reading"]
    late = looked.outlook(SLOT + HALF_HOUR + timedelta(hours=2, seconds=1))
    assert names(late.steps) == ["neso", "last good reading", "history"]
    assert late.reading is not None
    assert (late.reading.source, late.reading.kind) == ("history", IntensityKind.FORECAST)
    assert (late.reading.start, late.reading.end) == (SLOT + 2 * HOUR, SLOT + 3 * HOUR)
    assert late.reading.carbon_intensity_gco2eq_per_kwh == pytest.approx(80.0)


def test_the_history_s_hour_is_of_the_same_meaning_and_compared_with_the_threshold(server: Loopback) -> None:
    server.route("/intensity", status(503))
    outlook = signal(server, Past(20)).outlook(NOW)
    assert outlook.threshold_comparable
    decision = decide(job(failure_budget=1), NOW, outlook)
    assert (decision.action, decision.reason) == (Action.RUN, Reason.BELOW_THRESHOLD)
    assert "history" in decision.text


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (None, "history: too little is stored"),
        (Past(0), "history: too little is stored"),
        (Past(2), "history: too little is stored"),
        (Past(20, damaged=True), "part 7 is cut off"),
    ],
)
def test_without_a_usable_history_the_profile_is_the_fallback_and_the_reason_is_reported(
    server: Loopback, history: Past | None, told: str
) -> None:
    server.route("/intensity", status(503))
    outlook = signal(server, history).outlook(NOW)
    assert names(outlook.steps) == ["neso", "last good reading", "history", "profile"]
    assert told in outlook.steps[2]
    assert outlook.reading is not None
    assert outlook.reading.emission_factor_type is EmissionFactorType.LIFECYCLE
    assert not outlook.threshold_comparable
    assert "is not compared with the average direct one" in outlook.steps[3]


def test_without_a_provider_a_policy_that_plans_nothing_follows_the_history_s_order_too(server: Loopback) -> None:
    server.route("/intensity", status(503))
    outlook = signal(server, Past(20)).outlook(NOW)
    assert outlook.prediction is not None
    assert outlook.prediction.source.startswith("the history (20 days")


def test_a_reopened_signal_keeps_what_the_older_one_learned(server: Loopback) -> None:
    older, newer = signal(server, None), signal(server, None)
    older.outlook(NOW)
    newer.inherit(older)
    outlook = newer.outlook(NOW)
    assert outlook.reading is not None
    assert outlook.reading.kind is IntensityKind.CACHED
