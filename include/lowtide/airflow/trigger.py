"""Waits in the triggerer until the grid is clean or the job must start; many waits share one process."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from lowtide.airflow.hook import CarbonIntensityHook
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import LowtideError
from lowtide.grid.clock import clock_for
from lowtide.grid.factory import choose_provider, open_signal
from lowtide.grid.http import ONE_TRY
from lowtide.grid.providers.registry import HTTP_PROVIDERS
from lowtide.grid.shared import SourceKey, in_network_thread
from lowtide.records import ReplayAnchor
from lowtide.scheduler.job import Job
from lowtide.scheduler.waiting import own_source, pause_s_of, remaining, shared_source, wait_on_loop
from lowtide.timeutil import format_moment, parse_moment, utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from lowtide.config.loader import LoadedConfig
    from lowtide.grid.client import IntensityClient
    from lowtide.grid.clock import Clock
    from lowtide.grid.http import Credentials
    from lowtide.records import ReplayAnchor
    from lowtide.scheduler.job import Job
    from lowtide.scheduler.types import Decision
    from lowtide.scheduler.waiting import DecisionEvent, Source


KEPT_LOOKS = 500
"""Decisions that an event carries at most; the newest are kept."""


class CarbonIntensityTrigger(BaseTrigger):
    """Fires with the decision that ends a wait.

    Everything that must survive a killed triggerer is an absolute moment among the arguments, which Airflow keeps in
    plain text in its database: hence a connection id and never a token.

    :param job: the job as ``Job.as_json`` writes it, deadline included.
    :param grid: the grid section of the configuration.
    :param anchor: real start, virtual start and speed under replay, else None.
    :param grid_conn_id: connection of the provider, or None for its public address.
    :param artifacts: the artifact root, where the signal's history lies; None to do without.
    :param not_before: real moment (ISO-8601) before which no event is fired. A task that resumes too soon after
        deferring is failed by Airflow (apache/airflow #71580, #72716).
    """

    def __init__(
        self,
        *,
        job: dict[str, Any],
        grid: dict[str, Any],
        anchor: dict[str, Any] | None,
        grid_conn_id: str | None,
        not_before: str,
        artifacts: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # LoggingMixin's, which mypy cannot exclude
        self.job = job
        self.grid = grid
        self.anchor = anchor
        self.grid_conn_id = grid_conn_id
        self.not_before = not_before
        self.artifacts = artifacts

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments; no secret is among them."""
        return (
            "lowtide.airflow.trigger.CarbonIntensityTrigger",
            {
                "job": self.job,
                "grid": self.grid,
                "anchor": self.anchor,
                "grid_conn_id": self.grid_conn_id,
                "not_before": self.not_before,
                "artifacts": self.artifacts,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the decision is no longer to wait, then fire once."""
        try:
            payload = await self._wait()
        except LowtideError as error:
            payload = {"error": str(error)}
        except Exception as error:
            self.log.exception("the wait broke")
            payload = {"error": f"the wait broke: {type(error).__name__}: {error}"}
        await asyncio.sleep(remaining(parse_moment(self.not_before)))
        yield TriggerEvent(payload)

    async def _wait(self) -> dict[str, Any]:
        access = await self.access()
        wait = await in_network_thread(lambda: _Wait(self, access))  # tables and time zones are read from files
        looks: deque[Decision] = deque(maxlen=KEPT_LOOKS)

        def keep(looked: DecisionEvent) -> None:
            for line in looked.lines():
                self.log.info("%s", line)
            looks.append(looked.decision)

        async with wait.source() as source:
            moment = parse_moment(self.not_before)
            decision = await wait_on_loop(wait.job, source, wait.clock, not_before=moment, on_look=keep)
        return {"decision": decision.as_json(), "looks": [look.as_json() for look in looks]}

    async def access(self) -> Credentials:
        """Read the connection; it may have been changed during a long wait."""
        return await CarbonIntensityHook(self.grid_conn_id).aget_conn()


class _Wait:
    """A trigger's arguments, read."""

    def __init__(self, trigger: CarbonIntensityTrigger, access: Credentials) -> None:
        self.job = Job.from_json(trigger.job)
        grid = GridConfig.model_validate(trigger.grid)
        self.grid = grid.model_copy(update={"connection": trigger.grid_conn_id})  # by which its history is kept
        self.anchor = ReplayAnchor.model_validate(trigger.anchor) if trigger.anchor else None
        self.clock: Clock = clock_for(self.anchor)
        self.artifacts = Path(trigger.artifacts) if trigger.artifacts else None
        self._trigger = trigger
        self._access: Credentials | None = access
        self._provider = choose_provider(
            self.grid, find_zone(self.grid.zone), has_token=bool(access.token), has_login=bool(access.login)
        )
        self._key = SourceKey(
            zone=self.grid.zone,
            provider=self._provider,
            address=access.base_url,
            connection=trigger.grid_conn_id,
            region=self.grid.region,
            factor_type=self.grid.emission_factor_type,
            signal_type=self.grid.signal_type,
            artifacts=trigger.artifacts,
            wanted=self.job.wanted,
        )

    def source(self) -> AbstractAsyncContextManager[Source]:
        """Return the source to look at: shared where the provider is asked over the network."""
        if self._provider in HTTP_PROVIDERS:
            return shared_source(self._key, self._open, linger_s=pause_s_of(self.job, self.clock))
        return own_source(self._open, self.clock, self.job.wanted)

    async def _open(self) -> IntensityClient:
        # the credentials that came first serve once: who opens again does so because they were refused
        access, self._access = self._access or await self._trigger.access(), None
        return await in_network_thread(
            lambda: open_signal(self.grid, anchor=self.anchor, access=access, artifacts=self.artifacts, limits=ONE_TRY)
        )


# Hands a waiting job to the triggerer: the sensor before a training, the operator in a pause of it.


SAFE_RESUME_S = 30.0
"""A task that resumes sooner after deferring may be failed by Airflow (apache/airflow #71580, #72716)."""
SAFETY_NET = timedelta(minutes=10)
"""By how much the deferral's own timeout lies behind the latest start, at which the trigger fires by itself."""


def deferral(
    job: Job,
    config: LoadedConfig,
    anchor: ReplayAnchor | None,
    *,
    grid_conn_id: str | None,
    safe_resume_s: float = SAFE_RESUME_S,
) -> tuple[CarbonIntensityTrigger, timedelta]:
    """Return the trigger that ends a job's wait, and the deferral's timeout."""
    remaining_s = clock_for(anchor).seconds_until(job.latest_start) if job.latest_start else 0.0
    trigger = CarbonIntensityTrigger(
        job=job.as_json(),
        grid=config.values.grid.model_dump(mode="json"),
        anchor=anchor.model_dump(mode="json") if anchor else None,
        grid_conn_id=grid_conn_id,
        not_before=format_moment(utc_now() + timedelta(seconds=safe_resume_s)),
        artifacts=str(config.artifacts_path),
    )
    return trigger, timedelta(seconds=remaining_s + safe_resume_s) + SAFETY_NET
