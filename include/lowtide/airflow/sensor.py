"""Holds a DAG until the grid is clean, or until its deadline leaves no more time to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from lowtide.airflow.context import (
    FirstLook,
    airflow_errors,
    configuration,
    first_look,
    job_of,
    run_folder,
    stored_look,
)
from lowtide.airflow.hook import CarbonIntensityHook
from lowtide.airflow.trigger import SAFE_RESUME_S, deferral
from lowtide.grid.clock import clock_for
from lowtide.grid.outlook import Outlook
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Decision
from lowtide.scheduler.waiting import MINIMUM_PAUSE_S, look, pause_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lowtide.config.loader import LoadedConfig
    from lowtide.grid.client import IntensityClient
    from lowtide.scheduler.job import Job


class CarbonIntensitySensor(BaseSensorOperator):
    """Waits for a clean grid without holding a worker.

    The first look happens in the worker: if the answer is to start, the task succeeds at once and never defers.
    Submission and deadline are fixed then, for all retries. The XCom is the decision's summary with the path of the
    evidence, one decision a line.

    :param config: configuration file: a name in include/configs, or a path from the project's root. (templated)
    :param settings: dotted keys to lay over the file, e.g. ``{"grid.zone": "DE"}``. (templated)
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    :param deferrable: wait in the triggerer; otherwise in the worker, which it holds (mode ``poke``).
    :param safe_resume_s: no sooner than this after deferring does the trigger fire; for tests.
    """

    template_fields: Sequence[str] = ("config", "settings", "grid_conn_id")
    ui_color = "#d7efe3"

    def __init__(
        self,
        *,
        config: str,
        settings: Mapping[str, Any] | None = None,
        grid_conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=True),
        safe_resume_s: float = SAFE_RESUME_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.mode == "reschedule":
            # each look would be a process of its own, without memory of failed looks or of the last good reading
            raise ValueError("mode 'reschedule' is not supported; deferrable=True holds no worker while it waits")
        self.config = config
        self.settings = dict(settings or {})
        self.grid_conn_id = grid_conn_id
        self.deferrable = deferrable
        self.safe_resume_s = safe_resume_s
        self._signal: IntensityClient | None = None  # kept between the looks of a wait in the worker
        self._pause_s: float | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once; return if the decision is to start, else wait.

        :raises AirflowSkipException: the deadline leaves no time and ``on_latest_start`` is skip.
        :raises AirflowFailException: likewise with fail, or the configuration is wrong.
        """
        with self._failures():
            if self.deferrable:
                return self._execute_deferrable(context)
            config = configuration(context, self.config, self.settings)
            speed = anchor.speed if (anchor := first_look(context, config).anchor) else 1.0
            poke_s = config.values.scheduler.poke_interval.total_seconds() / speed
            self.poke_interval = max(MINIMUM_PAUSE_S, poke_s)
        result: dict[str, Any] = super().execute(context)
        return result

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, in the worker (``deferrable=False``)."""
        with self._failures():
            config, moments, decision = self._look(context)
            run_folder(context, config).append_decisions([decision.as_json()])
            if decision.action is Action.WAIT:
                self._pause_s = pause_s(decision, clock_for(moments.anchor))
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._act(context, config, moments, decision))

    def _get_next_poke_interval(self, *arguments: Any, **keywords: Any) -> float:
        """Return the seconds until the look that the last decision wants: a planned start lies between two poke intervals."""
        interval_s = float(super()._get_next_poke_interval(*arguments, **keywords))
        return interval_s if self._pause_s is None else min(interval_s, self._pause_s)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Act on the decision that the trigger fired with."""
        with self._failures():
            if not event or "error" in event:
                raise AirflowException((event or {}).get("error", "the trigger fired without a decision"))
            config = configuration(context, self.config, self.settings)
            run_folder(context, config).append_decisions(event["looks"])
            moments = stored_look(context) or first_look(context, config)
            decision = Decision.from_json(event["decision"])
            self.log.info("%s", decision.text)
            return self._act(context, config, moments, decision)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a deferral that ran into its safety net ends as ``on_latest_start`` says, not as a sensor timeout."""
        timed_out = (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT
        if next_method == TRIGGER_FAIL_REPR and timed_out:
            next_method, next_kwargs = "deferral_timed_out", {}
        return super().resume_execution(next_method, next_kwargs, context)

    def deferral_timed_out(self, context: Context) -> dict[str, Any]:
        """Decide without a signal: by now the latest start has passed."""
        with self._failures():
            config = configuration(context, self.config, self.settings)
            moments = stored_look(context) or first_look(context, config)
            job = job_of(context, config, moments)
            now = clock_for(moments.anchor).now()
            steps = ("the triggerer did not end the wait in time; the deferral's own timeout did",)
            decision = decide(job, max(now, job.latest_start or now), Outlook(steps=steps))
            run_folder(context, config).append_decisions([decision.as_json()])
            self.log.info("%s", decision.text)
            return self._act(context, config, moments, decision)

    def _execute_deferrable(self, context: Context) -> dict[str, Any]:
        config, moments, decision = self._look(context)
        folder = run_folder(context, config)
        folder.append_decisions([decision.as_json()])
        if decision.action is not Action.WAIT:
            return self._act(context, config, moments, decision)
        folder.publish("wait.json", {"text": decision.text, "decision": decision.as_json(), **moments.as_json()})
        self._defer(config, moments, job_of(context, config, moments))
        raise AssertionError("defer() always raises")

    def _look(self, context: Context) -> tuple[LoadedConfig, FirstLook, Decision]:
        config = configuration(context, self.config, self.settings)
        moments = first_look(context, config)
        if self._signal is None:
            hook = CarbonIntensityHook(self._connection(config))
            self._signal = hook.signal(config.values.grid, moments.anchor, artifacts=config.artifacts_path)
        job = job_of(context, config, moments)
        looked = look(job, self._signal, clock_for(moments.anchor))
        for line in looked.lines():
            self.log.info("%s", line)
        return config, moments, looked.decision

    def _defer(self, config: LoadedConfig, moments: FirstLook, job: Job) -> None:
        trigger, timeout = deferral(
            job,
            config,
            moments.anchor,
            grid_conn_id=self._connection(config),
            safe_resume_s=self.safe_resume_s,
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    def _connection(self, config: LoadedConfig) -> str | None:
        return self.grid_conn_id or config.values.grid.connection

    def _act(self, context: Context, config: LoadedConfig, moments: FirstLook, decision: Decision) -> dict[str, Any]:
        if decision.action is Action.SKIP:
            raise AirflowSkipException(decision.text)
        if decision.action is Action.FAIL:
            raise AirflowFailException(decision.text)
        evidence = run_folder(context, config).decisions
        return {"decision": decision.as_json(), "evidence_path": str(evidence), **moments.as_json()}

    def _failures(self) -> Any:
        return airflow_errors(skip=self.soft_fail)
