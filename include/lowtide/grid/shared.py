"""One request for all the waits of a process that ask for the same signal. Lives on an event loop and never blocks it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import ClassVar, Self, TypeVar
from weakref import WeakKeyDictionary

from lowtide.errors import ProviderUnavailable, SignalError
from lowtide.grid.client import Answer, IntensityClient
from lowtide.grid.http import Limits, retrying
from lowtide.grid.outlook import READING, DataNeeds, Outlook
from lowtide.timeutil import utc_now

NETWORK_THREADS = 16
"""Requests at a time; each is bounded in time, and holds its thread for no pause. They are not asyncio's default threads:
those are Airflow's too, and there are few on a small machine.
"""
_CHECK = Limits(total_timeout_s=inf, retries=2, longest_sleep_s=60.0)
"""Of one check, whose requests have their own time limit: a longer Retry-After is left to the checks to come."""
_REFUSED = frozenset({401, 403})

Result = TypeVar("Result")
Opener = Callable[[], Awaitable[IntensityClient]]


@cache
def _network() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(NETWORK_THREADS, thread_name_prefix="lowtide-grid")


@cache
def _computing() -> ThreadPoolExecutor:
    # one thread: Python lets only one compute at a time, and each further one would make the event loop wait its turn
    return ThreadPoolExecutor(1, thread_name_prefix="lowtide-decide")


async def in_network_thread(work: Callable[[], Result]) -> Result:
    """Run what waits for the network or a disk."""
    return await asyncio.get_running_loop().run_in_executor(_network(), work)


async def in_computing_thread(work: Callable[[], Result]) -> Result:
    """Run what computes for more than a millisecond."""
    return await asyncio.get_running_loop().run_in_executor(_computing(), work)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedOutlook:
    """An outlook that all waits of a source get.

    :param started_s: on the monotonic clock; None for a check that is not shared, which is never old.
    """

    outlook: Outlook
    started_s: float | None = None

    def age_s(self) -> float:
        """Return how long ago the check started, in seconds."""
        return 0.0 if self.started_s is None else max(0.0, time.monotonic() - self.started_s)


class SharedSource:
    """One signal with many waits: at most one request at a time, and one per interval.

    :param wanted: what the waits go by beside the reading.
    :param opener: opens the client; called again after the provider has refused the credentials, which may be new by then.
    """

    def __init__(self, opener: Opener, *, wanted: DataNeeds = READING) -> None:
        self._opener = opener
        self._wanted = wanted
        self._signal: IntensityClient | None = None
        self._refused = False
        self._latest: SharedOutlook | None = None
        self._flight: asyncio.Task[SharedOutlook] | None = None
        self._news = asyncio.Event()
        self.users = 0
        self.expiry: asyncio.TimerHandle | None = None

    async def check(self, max_age_s: float) -> SharedOutlook:
        """Return the latest outlook if it is young enough, else a new one; a caller during a request waits for that request.

        :raises LowtideError: the signal cannot be opened.
        """
        latest = self._latest
        if latest is not None and latest.age_s() < max_age_s:
            return latest
        if self._flight is None:
            self._flight = asyncio.create_task(self._check(), name="lowtide-check")
            self._flight.add_done_callback(self._landed)
        return await asyncio.shield(self._flight)  # a wait that is cancelled must not cancel the others' check

    async def sleep(self, seconds: float, *, after: SharedOutlook) -> None:
        """Sleep, but no longer than until there is another outlook than ``after``."""
        if self._latest in (None, after):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    def held_s(self) -> float:
        """Return how long the provider's rate limit still holds, in s."""
        return 0.0 if self._signal is None else self._signal.source.rate_limit.remaining_s()

    def close(self) -> None:
        """Cancel a check in flight; no wait needs it."""
        if self._flight is not None:
            self._flight.cancel()

    def _landed(self, flight: "asyncio.Task[SharedOutlook]") -> None:
        self._flight = None
        if not flight.cancelled() and flight.exception() is None:
            self._latest = flight.result()
            news, self._news = self._news, asyncio.Event()
            news.set()

    async def _check(self) -> SharedOutlook:
        started_s = time.monotonic()
        signal = await self._open()
        asked = await self._ask(signal)
        self._refused = isinstance(asked, ProviderUnavailable) and asked.status in _REFUSED
        outlook = await in_network_thread(lambda: signal.conclude(utc_now(), asked, self._wanted))
        return SharedOutlook(outlook=outlook, started_s=started_s)

    async def _open(self) -> IntensityClient:
        if self._signal is None or self._refused:
            opened = await self._opener()
            if self._signal is not None:
                opened.inherit(self._signal)
            self._signal = opened
        return self._signal

    async def _ask(self, signal: IntensityClient) -> Answer | SignalError:
        """Ask, and again after a passing failure; the pauses are slept here, where they hold no thread."""
        from tenacity import AsyncRetrying

        def current() -> Answer:
            return signal.source.current(utc_now(), with_forecast=self._wanted.forecast)

        try:
            asked: Answer = await retrying(AsyncRetrying, _CHECK)(in_network_thread, current)
        except SignalError as error:
            return error
        return asked


class SharedSources:
    """The sources of one event loop, by key; an unused one is dropped after an interval."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Self]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._sources: dict[Hashable, SharedSource] = {}

    @classmethod
    def of_running_loop(cls) -> Self:
        """Return the sources that all waits on the running loop share."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    @asynccontextmanager
    async def lease(
        self, key: Hashable, opener: Opener, *, linger_s: float, wanted: DataNeeds = READING
    ) -> AsyncIterator[SharedSource]:
        """Lend the source of a key.

        :param wanted: what its waits go by beside the reading; a part of the key, therefore.
        :param linger_s: how long the source outlives its last user, so that the next one need not ask anew.
        """
        source = self._sources.setdefault(key, SharedSource(opener, wanted=wanted))
        source.users += 1
        if source.expiry is not None:
            source.expiry.cancel()
        try:
            yield source
        finally:
            source.users -= 1
            if source.users == 0:
                outlives_s = max(linger_s, source.held_s())  # a rate limit also holds for later waits
                expire = asyncio.get_running_loop().call_later
                source.expiry = expire(outlives_s, lambda: self._sources.pop(key).close())
