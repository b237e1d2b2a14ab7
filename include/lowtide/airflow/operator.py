"""What all operators share: the configuration file, Airflow's errors, the log of decisions, and the deferral of a wait."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import BaseOperator, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred

from lowtide.airflow.context import RunContext
from lowtide.airflow.hook import CarbonIntensityHook
from lowtide.airflow.trigger import CarbonIntensityTrigger
from lowtide.config.airflow_params import param_schemas
from lowtide.errors import ConfigurationError, LowtideError
from lowtide.scheduler.types import Decision
from lowtide.timeutil import format_time, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.sdk import Context

    from lowtide.grid.client import IntensityClient
    from lowtide.records import ReplayAnchor
    from lowtide.scheduler.job import Job
    from lowtide.scheduler.waiting import DecisionEvent


P = ParamSpec("P")
Result = TypeVar("Result")

SAFETY_NET = timedelta(minutes=10)
"""By how much the deferral's own timeout is later than the latest start, at which the trigger fires."""


def dag_params(*, without: Collection[str] = ()) -> dict[str, Param]:
    """Return the DAG's Params, made from the configuration's schema; null means as in the configuration file.

    :param without: names that have no meaning for a DAG.
    """
    return {name: Param(None, **schema) for name, schema in param_schemas().items() if name not in without}


def airflow_errors(method: Callable[P, Result]) -> Callable[P, Result]:
    """Turn a LowtideError of an operator's method into an Airflow failure: final for a wrong configuration, else retried.

    With a sensor's ``soft_fail`` it is a skip. Airflow itself does so only on some paths.
    """

    @wraps(method)
    def translated(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        except (LowtideError, AirflowFailException) as error:
            if getattr(args[0], "soft_fail", False):
                raise AirflowSkipException(str(error)) from None
            if isinstance(error, ConfigurationError):  # a retry would read the same file
                raise AirflowFailException(str(error)) from None
            if isinstance(error, LowtideError):
                raise AirflowException(str(error)) from error
            raise

    return translated


class ConfiguredOperator(BaseOperator):
    """An operator that follows a configuration file.

    :param config: configuration file: a name in include/configs, or a path from the project's root. (templated)
    :param settings: dotted keys that override the file, e.g. ``{"grid.zone": "DE"}``. (templated)
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    """

    template_fields: Sequence[str] = ("config", "settings", "grid_conn_id")

    safe_resume_s = 30.0
    """A task that resumes sooner after deferring may be failed by Airflow (apache/airflow #71580, #72716)."""

    def __init__(
        self, *, config: str, settings: Mapping[str, Any] | None = None, grid_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.settings = dict(settings or {})
        self.grid_conn_id = grid_conn_id

    def run_context(self, context: Context) -> RunContext:
        """Return the run of a context, with its configuration.

        :raises ConfigurationError: one sentence.
        """
        connection = {"grid.connection": self.grid_conn_id} if self.grid_conn_id else {}
        return RunContext(context, self.config, self.settings | connection)

    def intensity_client(self, run: RunContext, anchor: ReplayAnchor | None = None) -> IntensityClient:
        """Return the client of the configured grid, through its connection."""
        grid = run.config.values.grid
        return CarbonIntensityHook(grid.connection).client(grid, anchor, artifacts=run.config.artifacts_path)

    def log_check(self, run: RunContext, event: DecisionEvent) -> None:
        """Append a check's decision to the run's ``decisions.jsonl``, and log it."""
        run.folder.append_decisions([event.decision.as_json()])
        for line in event.lines():
            self.log.info("%s", line)

    def decision_of(self, run: RunContext, event: Mapping[str, Any]) -> Decision:
        """Return the decision that the trigger fired with, after its checks are appended to ``decisions.jsonl``."""
        run.folder.append_decisions(event["checks"])
        decision = Decision.from_json(event["decision"])
        self.log.info("%s", decision.text)
        return decision

    def deferral(self, run: RunContext, job: Job, *, method_name: str) -> TaskDeferred:
        """Return what a task raises to wait in the triggerer until the job starts."""
        first, config = run.first_check, run.config
        remaining_s = run.clock.seconds_until(job.latest_start) if job.latest_start else 0.0
        trigger = CarbonIntensityTrigger(
            job=job.as_json(),
            grid=config.values.grid.model_dump(mode="json"),
            anchor=first.replay.model_dump(mode="json") if first.replay else None,
            not_before=format_time(utc_now() + timedelta(seconds=self.safe_resume_s)),
            artifacts=str(config.artifacts_path),
        )
        timeout = timedelta(seconds=remaining_s + self.safe_resume_s) + SAFETY_NET
        return TaskDeferred(trigger=trigger, method_name=method_name, timeout=timeout)
