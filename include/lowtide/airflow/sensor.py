"""Holds a DAG until the grid is clean, or until its deadline leaves no more time to wait."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from lowtide.airflow.operator import ConfiguredOperator, airflow_errors
from lowtide.config.loader import PROJECT_ROOT
from lowtide.grid.outlook import Outlook
from lowtide.scheduler.decision import decide
from lowtide.scheduler.types import Action, Decision
from lowtide.scheduler.waiting import MINIMUM_PAUSE_S, DecisionEvent, check, pause_s, pause_s_of
from lowtide.trainer.import_paths import check_import_paths

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lowtide.airflow.context import RunContext
    from lowtide.grid.client import IntensityClient


class CarbonIntensitySensor(ConfiguredOperator, BaseSensorOperator):
    """Waits for a clean grid without holding a worker.

    The first check happens in the worker: if the decision is to start, the task succeeds at once and never defers.
    Submission and deadline are fixed then, for all retries. The XCom has the decision, the fixed times, and the path of the
    evidence: one decision per line. Further arguments are those of ``ConfiguredOperator``.

    :param deferrable: wait in the triggerer; otherwise in the worker, which the task then holds (mode ``poke``).
    """

    # not Airflow's default_deferrable, which is false as shipped: a wait of hours would hold a worker
    def __init__(self, *, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.mode == "reschedule":
            # each check would be a new process, which knows neither failed checks nor the last good reading
            raise ValueError("mode 'reschedule' is not supported; deferrable=True holds no worker while it waits")
        self.deferrable = deferrable
        self._client: IntensityClient | None = None  # kept between the checks of a wait in the worker
        self._pause_s: float | None = None

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Check once; return if the decision is to start, else wait.

        :raises AirflowSkipException: the deadline leaves no time and ``on_latest_start`` is skip.
        :raises AirflowFailException: likewise with fail, or the configuration is wrong, or names a model or data that a
            training which follows would not find.
        """
        run = self.run_context(context)
        if self._is_followed_by_its_training():
            check_import_paths(run.config.values.training, PROJECT_ROOT)
        if self.deferrable:
            decision = self._check(run)
            if decision.action is Action.WAIT:
                raise self.deferral(run, run.job, method_name="execute_complete")
            return self._result(run, decision)
        self.poke_interval = max(MINIMUM_PAUSE_S, pause_s_of(run.job, run.clock))
        result: dict[str, Any] = super().execute(context)
        return result

    @airflow_errors
    def poke(self, context: Context) -> PokeReturnValue:
        """Check once, in the worker (``deferrable=False``)."""
        run = self.run_context(context)
        decision = self._check(run)
        if decision.action is Action.WAIT:
            self._pause_s = pause_s(decision, run.clock)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._result(run, decision))

    def _get_next_poke_interval(self, *arguments: Any, **keywords: Any) -> float:
        """Return the seconds until the check that the last decision asks for: a planned start may come before the next poke."""
        interval_s = float(super()._get_next_poke_interval(*arguments, **keywords))
        return interval_s if self._pause_s is None else min(interval_s, self._pause_s)

    @airflow_errors
    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Act on the decision that the trigger fired with."""
        if not event or "error" in event:
            raise AirflowException((event or {}).get("error", "the trigger fired without a decision"))
        run = self.run_context(context)
        return self._result(run, self.decision_of(run, event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a deferral that ran into its own timeout ends as ``on_latest_start`` says, not as a sensor timeout."""
        timed_out = (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT
        if next_method == TRIGGER_FAIL_REPR and timed_out:
            next_method, next_kwargs = "deferral_timed_out", {}
        return super().resume_execution(next_method, next_kwargs, context)

    @airflow_errors
    def deferral_timed_out(self, context: Context) -> dict[str, Any]:
        """Decide without a reading: the latest start has passed."""
        run = self.run_context(context)
        job, now = run.job, run.clock.now()
        outlook = Outlook(steps=("the triggerer did not end the wait in time; the deferral's own timeout did",))
        decision = decide(job, max(now, job.latest_start or now), outlook)
        self.log_check(run, DecisionEvent(job, decision, outlook))
        return self._result(run, decision)

    def _is_followed_by_its_training(self) -> bool:
        """Whether a later task trains by the same configuration in the same place, where PyTorch is installed."""
        same = ("config", "settings", "queue", "executor", "executor_config")
        own = self.dag.task_dict[self.task_id]  # the DAG's sensor, like its tasks, has its templates unrendered
        return find_spec("torch") is not None and any(
            # a GpuTrainingOperator, which is not imported where a DAG has no other use for it; a mapped sensor has no config
            hasattr(task, "decision_task_id") and all(getattr(task, n) == getattr(own, n, own) for n in same)
            for task in self.get_flat_relatives(upstream=False)
        )

    def _check(self, run: RunContext) -> Decision:
        if self._client is None:
            self._client = self.intensity_client(run, run.first_check.replay)
        event = check(run.job, self._client, run.clock)
        self.log_check(run, event)
        return event.decision

    def _result(self, run: RunContext, decision: Decision) -> dict[str, Any]:
        if decision.action is Action.SKIP:
            raise AirflowSkipException(decision.text)
        if decision.action is Action.FAIL:
            raise AirflowFailException(decision.text)
        first = run.first_check.model_dump(mode="json")
        return {"decision": decision.as_json(), "evidence_path": str(run.folder.decisions), **first}
