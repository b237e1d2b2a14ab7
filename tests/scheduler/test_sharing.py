"""Many waits, one request: real servers, a real event loop, and what happens when either of them misbehaves."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from lowtide.config.schema import GridConfig
from lowtide.errors import ConfigurationError
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal
from lowtide.grid.http import ONE_TRY, Credentials
from lowtide.grid.shared import SharedOutlook, SharedSource, SharedSources, in_network_thread
from lowtide.timeutil import utc_now

from tests.support import loopback
from tests.support.loopback import Behaviour, Loopback, json_answer, status
from tests.support.neso import slot, slot_start

LINGER_S = 0.4


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def good(value: float = 90) -> Behaviour:
    return json_answer({"data": [slot(slot_start(utc_now()), actual=value)]})


def opener(url: str, **access: str):
    grid = GridConfig.model_validate({"zone": "GB", "provider": "neso"})

    async def opened() -> IntensityClient:
        return await in_network_thread(
            lambda: open_signal(grid, access=Credentials(base_url=url, **access), limits=ONE_TRY)
        )

    return opened


def test_all_who_come_during_a_request_wait_for_that_one(server: Loopback) -> None:
    server.route("/intensity", loopback.slow_body(b'{"data": []}', pause_s=0.02), good())

    async def fifty_waits() -> list[SharedOutlook]:
        source = SharedSource(opener(server.url))
        return await asyncio.gather(*(source.check(60.0) for _ in range(50)))

    first, *others = asyncio.run(fifty_waits())
    assert all(look is first for look in others)
    assert len(server.seen) == 1


def test_within_an_interval_nothing_is_asked_and_after_it_once(server: Loopback) -> None:
    server.route("/intensity", good())

    async def looks() -> list[SharedOutlook]:
        source = SharedSource(opener(server.url))
        first = [await source.check(0.3) for _ in range(3)]
        await asyncio.sleep(0.35)
        return first + await asyncio.gather(*(source.check(0.3) for _ in range(20)))

    found = asyncio.run(looks())
    assert [look is found[0] for look in found] == [True] * 3 + [False] * 20
    assert all(look is found[-1] for look in found[3:])
    assert len(server.seen) == 2


def test_a_wait_that_is_cancelled_does_not_cancel_the_check_of_the_others(server: Loopback) -> None:
    server.route("/intensity", loopback.slow_body(b'{"data": []}', pause_s=0.02))

    async def one_leaves() -> SharedOutlook:
        source = SharedSource(opener(server.url))
        leaving, staying = (asyncio.create_task(source.check(60.0)) for _ in range(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        return await staying

    assert "without a single value" in asyncio.run(one_leaves()).outlook.steps[0]
    assert len(server.seen) == 1


def test_a_sleeper_wakes_when_another_brings_news_and_else_in_its_own_time(server: Loopback) -> None:
    server.route("/intensity", good())

    async def slept() -> tuple[float, float]:
        source = SharedSource(opener(server.url))
        first = await source.check(60.0)
        began = time.monotonic()
        await source.sleep(0.2, after=first)
        alone_s = time.monotonic() - began
        sleeper = asyncio.create_task(source.sleep(30.0, after=first))
        began = time.monotonic()
        await source.check(0.0)
        await sleeper
        return alone_s, time.monotonic() - began

    alone_s, woken_s = asyncio.run(slept())
    assert 0.19 <= alone_s < 2.0
    assert woken_s < 5.0


def test_a_passing_failure_is_tried_again_on_the_loop_and_a_short_retry_after_is_slept_there(server: Loopback) -> None:
    server.route("/intensity", status(503), status(429, retry_after="1"), good())

    async def look() -> tuple[int, float]:
        began = time.monotonic()
        found = await SharedSource(opener(server.url)).check(60.0)
        return found.outlook.failed_checks, time.monotonic() - began

    failed, took_s = asyncio.run(look())
    assert failed == 0
    assert took_s >= 1.0
    assert len(server.seen) == 3


def test_a_long_retry_after_holds_for_every_wait_of_the_source_and_for_those_to_come(server: Loopback) -> None:
    server.route("/intensity", status(429, retry_after="600"), good())

    async def looks() -> list[str]:
        sources, told = SharedSources.of_running_loop(), []
        for _ in range(3):
            async with sources.lease("GB", opener(server.url), linger_s=0.0) as source:
                told.append((await source.check(0.0)).outlook.steps[0])
            await asyncio.sleep(0.05)
        return told

    first, second, third = asyncio.run(looks())
    assert "status 429" in first
    assert "rate limited, next request allowed in" in second
    assert "rate limited, next request allowed in" in third
    assert "failed check 3 in a row" in third
    assert len(server.seen) == 1


def test_credentials_that_are_refused_are_read_again_before_the_next_check(server: Loopback) -> None:
    server.route("/intensity", status(401), good())
    tokens = iter(["old-token", "new-token"])

    async def looks() -> list[int]:
        async def opened() -> IntensityClient:
            return await opener(server.url, token=next(tokens))()

        source = SharedSource(opened)
        return [(await source.check(0.0)).outlook.failed_checks for _ in range(2)]

    assert asyncio.run(looks()) == [1, 0]
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer old-token", "Bearer new-token"]


def test_an_error_of_the_user_reaches_every_wait_and_the_next_check_tries_again(server: Loopback) -> None:
    server.route("/intensity", good())
    openings = iter([opener("ftp://nowhere"), opener(server.url)])

    async def looks() -> int:
        async def opened() -> IntensityClient:
            return await next(openings)()

        source = SharedSource(opened)
        failures = await asyncio.gather(*(source.check(60.0) for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ConfigurationError] * 3
        return (await source.check(60.0)).outlook.failed_checks

    assert asyncio.run(looks()) == 0


def test_a_source_outlives_its_last_user_for_an_interval_and_no_longer(server: Loopback) -> None:
    server.route("/intensity", good())

    async def lifetimes() -> tuple[int, int, int]:
        sources = SharedSources.of_running_loop()
        for _ in range(2):
            async with sources.lease("GB", opener(server.url), linger_s=LINGER_S) as source:
                await source.check(60.0)
        lingering = len(sources._sources)
        await asyncio.sleep(LINGER_S / 2)
        async with sources.lease("GB", opener(server.url), linger_s=LINGER_S):
            await asyncio.sleep(LINGER_S)
            used = len(sources._sources)
        await asyncio.sleep(LINGER_S * 2)
        return lingering, used, len(sources._sources)

    assert asyncio.run(lifetimes()) == (1, 1, 0)
    assert len(server.seen) == 1


def test_keys_do_not_share_and_loops_do_not_share(server: Loopback) -> None:
    server.route("/intensity", good())

    async def two_keys() -> None:
        sources = SharedSources.of_running_loop()
        for key in ("GB", "GB over another connection"):
            async with sources.lease(key, opener(server.url), linger_s=0.0) as source:
                await source.check(60.0)

    asyncio.run(two_keys())
    asyncio.run(two_keys())
    assert len(server.seen) == 4


@pytest.mark.parametrize("fault", [loopback.silent(1.5), status(503)], ids=["silent", "503"])
def test_a_provider_that_hangs_or_fails_does_not_hold_the_loop_up(server: Loopback, fault: Behaviour) -> None:
    server.route("/intensity", fault)

    async def lags() -> list[float]:
        source, gaps = SharedSource(opener(server.url)), []
        looking = [asyncio.create_task(source.check(60.0)) for _ in range(100)]
        while not all(task.done() for task in looking):
            began = time.monotonic()
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - began)
        return sorted(gaps)

    found = asyncio.run(lags())
    assert found[int(len(found) * 0.95)] < 0.1


def test_no_thread_is_held_by_a_pause(server: Loopback) -> None:
    server.route("/intensity", status(429, retry_after="2"), good())
    busy: list[int] = []

    async def look() -> None:
        looking = asyncio.create_task(SharedSource(opener(server.url)).check(60.0))
        await asyncio.sleep(1.0)
        began = time.monotonic()
        await asyncio.gather(*(in_network_thread(lambda: busy.append(threading.get_ident())) for _ in range(64)))
        assert time.monotonic() - began < 0.9
        await looking

    asyncio.run(look())
    assert len(busy) == 64
