"""Books recent runs again at what the grid's history has learnt since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.moments import utc_now
from include.pipeline.settling.runs import settle_recent_runs
from include.pipeline.settling.sources import history_of
from lowtide.errors import airflow_errors
from lowtide.hooks.carbon_intensity import CarbonIntensityHook
from lowtide.operators.grid_upkeep import GridUpkeepOperator
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.config import LoadedConfig
    from include.pipeline.settling.runs import Settling


class SettleRunsOperator(GridUpkeepOperator):
    """Settles the runs of the last days from the stored history, and renews the reports that rest on them; asks nobody.

    The XCom says which runs were booked again, from how many grams to how many, and what failed.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, renew reports, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no actual figures.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            done = self._settle(context, config)
        self.log.info(
            "%d runs looked at, %d settled, %d reports renewed", done.looked_at, len(done.settled), len(done.reports)
        )
        for failure in done.failures:
            self.log.warning("not settled: %s", failure)
        return done.as_json()

    def _settle(self, context: Context, config: LoadedConfig) -> Settling:
        connection = self.connection_of(config)
        signal = CarbonIntensityHook(connection).signal(config.values.grid)
        history = history_of(signal, config.artifacts_path, connection)
        if history is None:
            raise AirflowSkipException(
                f"provider {signal.provider_name!r} of {config.source} is no live signal, so there is nothing to settle"
            )
        return settle_recent_runs(
            config.artifacts_path,
            history,
            now=utc_now(),
            look_back=self.look_back(context),
            settings=config.values.report,
        )
