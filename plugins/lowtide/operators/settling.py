"""Books recent runs again at what the grid's history has learnt since."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.moments import utc_now
from include.pipeline.settling.runs import settle_recent_runs
from include.pipeline.settling.sources import history_of
from lowtide.errors import airflow_errors
from lowtide.hooks.carbon_intensity import CarbonIntensityHook
from lowtide.operators.history import DEFAULT_DAYS
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context


class SettleRunsOperator(BaseOperator):
    """Settles the runs of the last days from the stored history, and renews the reports that rest on them; asks nobody.

    The XCom says which runs were booked again, from how many grams to how many, and what could not be settled.

    :param config: configuration file; its ``grid`` section says whose history. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param days: how long ago a run may have ended; the Param ``days`` goes before it.
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    """

    template_fields: Sequence[str] = ("config", "settings", "grid_conn_id")
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        config: str,
        settings: Mapping[str, Any] | None = None,
        days: int = DEFAULT_DAYS,
        grid_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.settings = dict(settings or {})
        self.days = days
        self.grid_conn_id = grid_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, renew reports, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no actual figures.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            connection = self.grid_conn_id or config.values.grid.connection
            signal = CarbonIntensityHook(connection).signal(config.values.grid)
            history = history_of(signal, config.artifacts_path, connection)
            if history is None:
                raise AirflowSkipException(
                    f"provider {signal.provider_name!r} of {config.source} is no live signal, so there is nothing to settle"
                )
            days = context["params"].get("days") or self.days
            done = settle_recent_runs(
                config.artifacts_path,
                history,
                now=utc_now(),
                look_back=timedelta(days=days),
                settings=config.values.report,
            )
        self.log.info(
            "%d runs looked at, %d settled, %d reports renewed", done.looked_at, len(done.settled), len(done.reports)
        )
        for failure in done.failures:
            self.log.warning("not settled: %s", failure)
        return done.as_json()
