"""A wait beside others: never past its latest start, and never later than an interval behind the grid."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from lowtide.config.schema import GridConfig
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal
from lowtide.grid.http import ONE_TRY, Credentials
from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve, Prediction
from lowtide.grid.shared import SharedOutlook, SharedSource, in_network_thread
from lowtide.records import Clock
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision, Reason
from lowtide.scheduler.waiting import wait_on_loop
from lowtide.timeutil import utc_now

from tests.support import loopback
from tests.support.grid import job
from tests.support.loopback import Behaviour, Loopback, json_answer
from tests.support.neso import slot, slot_start


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def source_of(server: Loopback) -> SharedSource:
    grid = GridConfig.model_validate({"zone": "GB", "provider": "neso"})

    async def opened() -> IntensityClient:
        return await in_network_thread(
            lambda: open_signal(grid, access=Credentials(base_url=server.url), limits=ONE_TRY)
        )

    return SharedSource(opened)


def waiting_job(*, latest_start_s: float, poke_s: float) -> Job:
    hour = timedelta(hours=1)
    now = utc_now()
    return replace(
        job(threshold_gco2eq_per_kwh=100.0),
        submitted_at=now,
        deadline=now + hour + timedelta(seconds=latest_start_s),
        expected_duration=hour,
        duration_margin=0.0,
        poke_interval=timedelta(seconds=poke_s),
    )


def answer(value: float) -> Behaviour:
    return json_answer({"data": [slot(slot_start(utc_now()), actual=value)]})


async def waited(waiting: Job, source: SharedSource) -> tuple[Decision, float]:
    begun = time.monotonic()
    decision = await wait_on_loop(waiting, source, Clock(), not_before=utc_now(), on_decision=lambda _: None)
    return decision, time.monotonic() - begun


def test_a_provider_that_hangs_does_not_carry_a_wait_past_its_latest_start(server: Loopback) -> None:
    server.route("/intensity", loopback.silent(20.0))
    decision, took_s = asyncio.run(waited(waiting_job(latest_start_s=1.0, poke_s=300.0), source_of(server)))
    assert decision.reason in (Reason.DEADLINE, Reason.SIGNAL_UNAVAILABLE)
    assert decision.action.value == "run"
    assert took_s < 3.0


def test_who_joins_a_source_checks_again_an_interval_after_its_last_check(server: Loopback) -> None:
    server.route("/intensity", answer(300), answer(50))

    async def joined() -> tuple[Decision, float]:
        source = source_of(server)
        await source.check(60.0)  # somebody else's, who then leaves
        await asyncio.sleep(1.5)
        return await waited(waiting_job(latest_start_s=60.0, poke_s=2.0), source)

    decision, took_s = asyncio.run(joined())
    assert decision.reason is Reason.BELOW_THRESHOLD
    assert took_s < 1.5  # half a second is left of the interval; a whole one from now on would be 2 s


def test_a_planned_start_is_decided_on_a_fresh_check_and_without_busy_waking():
    """A wait that joined a four-minute-old look sleeps until its planned start, and then wants a look of its own."""
    start = utc_now() + timedelta(seconds=2)
    asked = []

    class Old:
        def __init__(self):
            self.slept = []

        async def check(self, max_age_s):
            asked.append(max_age_s)
            now = utc_now()
            edges = [now.timestamp() - 60, start.timestamp(), start.timestamp() + 7200]
            prediction = Prediction(curve=IntensityCurve(edges, [300.0, 100.0]), source="neso", issued_at=now)
            return SharedOutlook(outlook=Outlook(prediction=prediction), started_s=time.monotonic() - 240)

        async def sleep(self, seconds, *, after):
            self.slept.append(seconds)
            await asyncio.sleep(seconds)

    now = utc_now()
    waiting = job(
        policy="window",
        submitted_at=now,
        deadline=now + timedelta(hours=3),
        expected_duration=timedelta(hours=1),
        minimum_gain_percent=0.0,
    )
    source = Old()
    decision = asyncio.run(wait_on_loop(waiting, source, Clock(), not_before=now, on_decision=lambda _: None))
    assert decision.action is Action.RUN
    assert abs((decision.decided_at - start).total_seconds()) < 0.6
    assert len(source.slept) == 1
    assert asked == pytest.approx([300.0, 60.0], abs=0.1)
