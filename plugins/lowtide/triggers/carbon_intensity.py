"""Waits in the triggerer until the grid is clean or the job must start; many waits share one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.config import GridConfig
from include.errors import LowtideError
from include.moments import parse_moment, utc_now
from include.pipeline.waiting import look, pause_s
from include.records import ReplayAnchor
from include.scheduler import Action, Job, clock_for
from lowtide.hooks.carbon_intensity import CarbonIntensityHook, open_signal_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from include.scheduler import Decision, GridSignal

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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # LoggingMixin's, which mypy cannot exclude
        self.job = job
        self.grid = grid
        self.anchor = anchor
        self.grid_conn_id = grid_conn_id
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments; no secret is among them."""
        return (
            "lowtide.triggers.carbon_intensity.CarbonIntensityTrigger",
            {
                "job": self.job,
                "grid": self.grid,
                "anchor": self.anchor,
                "grid_conn_id": self.grid_conn_id,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the decision is no longer to wait, then fire once."""
        not_before = parse_moment(self.not_before)
        try:
            payload = await self._wait(not_before)
        except LowtideError as error:
            payload = {"error": str(error)}
        except Exception as error:
            self.log.exception("the wait broke")
            payload = {"error": f"the wait broke: {type(error).__name__}: {error}"}
        await asyncio.sleep(_remaining_s(not_before))
        yield TriggerEvent(payload)

    async def _wait(self, not_before: datetime) -> dict[str, Any]:
        job, signal, anchor = await self._open()
        clock = clock_for(anchor)
        looks: list[dict[str, Any]] = []
        while True:
            # requests blocks: a thread keeps the event loop free for the other waits
            decision = await asyncio.to_thread(look, job, signal, clock)
            self.log.info("%s", decision.text)
            looks = [*looks, decision.as_json()][-KEPT_LOOKS:]
            remaining_s = _remaining_s(not_before)
            if decision.action is not Action.WAIT and remaining_s <= 0:
                return {"decision": decision.as_json(), "looks": looks}
            await asyncio.sleep(_pause(decision, remaining_s, pause_s(decision, clock)))

    async def _open(self) -> tuple[Job, GridSignal, ReplayAnchor | None]:
        access = await CarbonIntensityHook(self.grid_conn_id).aget_conn()
        anchor = ReplayAnchor.model_validate(self.anchor) if self.anchor else None
        grid = GridConfig.model_validate(self.grid)
        signal = await asyncio.to_thread(open_signal_with, access, grid, anchor)
        return Job.from_json(self.job), signal, anchor


def _remaining_s(not_before: datetime) -> float:
    return max(0.0, (not_before - utc_now()).total_seconds())


def _pause(decision: Decision, remaining_s: float, until_next_look_s: float) -> float:
    return until_next_look_s if decision.action is Action.WAIT else remaining_s
