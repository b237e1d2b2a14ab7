"""Waits in the triggerer until the grid is clean or the job must start; many waits share one process and its requests."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from lowtide.airflow.hook import CarbonIntensityHook
from lowtide.config.providers import LIVE_PROVIDERS
from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import LowtideError
from lowtide.grid.factory import choose_provider, open_signal
from lowtide.grid.http import ONE_TRY
from lowtide.grid.shared import SharedSources, in_network_thread
from lowtide.records import Clock, ReplayAnchor
from lowtide.scheduler.job import Job
from lowtide.scheduler.waiting import OwnSource, pause_s_of, remaining, wait_on_loop
from lowtide.timeutil import parse_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from lowtide.grid.client import IntensityClient
    from lowtide.grid.http import Credentials
    from lowtide.scheduler.types import Decision
    from lowtide.scheduler.waiting import DecisionEvent, Source


KEPT_CHECKS = 500
"""Decisions that an event carries at most; the newest are kept."""


class CarbonIntensityTrigger(BaseTrigger):
    """Fires with the decision that ends a wait.

    What must survive a killed triggerer is an absolute time among the arguments, which Airflow keeps in plain text in its
    database: hence a connection id and never a token.

    :param job: the job as ``Job.as_json`` writes it, deadline included.
    :param grid: the grid section of the configuration; its ``connection`` is the provider's.
    :param anchor: real start, virtual start and speed under replay, else None.
    :param artifacts: the artifact root with the history of the grid; None for no history.
    :param not_before: real time (ISO-8601) before which no event is fired. A task that resumes too soon after deferring is
        failed by Airflow (apache/airflow #71580, #72716).
    """

    def __init__(
        self,
        *,
        job: dict[str, Any],
        grid: dict[str, Any],
        anchor: dict[str, Any] | None,
        not_before: str,
        artifacts: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # LoggingMixin's, which mypy cannot exclude
        self._arguments: dict[str, Any] = {
            "job": job,
            "grid": grid,
            "anchor": anchor,
            "not_before": not_before,
            "artifacts": artifacts,
        }
        self._not_before = parse_time(not_before)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments; no secret is among them."""
        return "lowtide.airflow.trigger.CarbonIntensityTrigger", self._arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Check until the decision is no longer to wait, then fire once."""
        try:
            payload = await self._wait()
        except LowtideError as error:
            payload = {"error": str(error)}
        except Exception as error:
            self.log.exception("the wait failed")
            payload = {"error": f"the wait failed: {type(error).__name__}: {error}"}
        await asyncio.sleep(remaining(self._not_before))
        yield TriggerEvent(payload)

    async def _wait(self) -> dict[str, Any]:
        unused = [await self._credentials()]
        # not on the event loop: tables and time zones come from files
        job, grid, key = await in_network_thread(partial(self._prepared, unused[0]))
        written = self._arguments
        anchor = ReplayAnchor.model_validate(written["anchor"]) if written["anchor"] else None
        artifacts = Path(written["artifacts"]) if written["artifacts"] else None
        clock = Clock(anchor)
        checks: deque[Decision] = deque(maxlen=KEPT_CHECKS)

        async def opener() -> IntensityClient:
            # opened again: the credentials were refused, so the connection is read again
            access = unused.pop() if unused else await self._credentials()
            opening = partial(open_signal, grid, anchor=anchor, access=access, artifacts=artifacts, limits=ONE_TRY)
            return await in_network_thread(opening)

        def keep(event: DecisionEvent) -> None:
            for line in event.lines():
                self.log.info("%s", line)
            checks.append(event.decision)

        lease: AbstractAsyncContextManager[Source]
        if key is None:
            lease = nullcontext(OwnSource(await opener(), clock, job.wanted))
        else:
            sources = SharedSources.of_running_loop()
            lease = sources.lease(key, opener, linger_s=pause_s_of(job, clock), wanted=job.wanted)
        async with lease as source:
            decision = await wait_on_loop(job, source, clock, not_before=self._not_before, on_decision=keep)
        return {"decision": decision.as_json(), "checks": [check.as_json() for check in checks]}

    def _prepared(self, credentials: Credentials) -> tuple[Job, GridConfig, tuple[object, ...] | None]:
        """Return the job, the grid, and by which key waits share its source; None where each wait has its own."""
        job, grid = Job.from_json(self._arguments["job"]), GridConfig.model_validate(self._arguments["grid"])
        provider = choose_provider(grid, find_zone(grid.zone), credentials)
        if provider not in LIVE_PROVIDERS:
            return job, grid, None
        asked = (provider, credentials.base_url, grid.connection, grid.zone, grid.region)  # no secret
        key = (*asked, grid.emission_factor_type, grid.signal_type, self._arguments["artifacts"], job.wanted)
        return job, grid, key

    async def _credentials(self) -> Credentials:
        """Read the connection; it may have been changed during a long wait."""
        return await CarbonIntensityHook(self._arguments["grid"].get("connection")).aget_conn()
