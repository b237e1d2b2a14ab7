"""Books recent runs again at what the grid's history has learnt since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.moments import utc_now
from include.pipeline.settling.left_runs import read_back_left_runs
from include.pipeline.settling.runs import settle_recent_runs
from include.pipeline.settling.sources import history_of
from lowtide.errors import airflow_errors
from lowtide.hooks.carbon_intensity import CarbonIntensityHook
from lowtide.operators.grid_upkeep import GridUpkeepOperator
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.config import LoadedConfig
    from include.pipeline.settling.left_runs import LeftRuns
    from include.pipeline.settling.runs import Settling


class SettleRunsOperator(GridUpkeepOperator):
    """Settles the runs of the last days from the stored history, and renews the reports that rest on them; asks nobody.

    Runs that were killed, and that nobody goes on with, are read back first: without a record they were in no account.

    The XCom says which runs were read back, which were booked again, from how many grams to how many, and what failed.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Read back, settle, renew reports, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no actual figures; what was
            left by killed runs has been read back all the same.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            left = read_back_left_runs(config.artifacts_path, now=utc_now(), look_back=self.look_back(context))
            self._tell_left(left)
            done = self._settle(context, config)
        self.log.info(
            "%d runs looked at, %d settled, %d reports renewed", done.looked_at, len(done.settled), len(done.reports)
        )
        for failure in done.failures:
            self.log.warning("not settled: %s", failure)
        return done.as_json() | {
            "read_back": [str(folder.record) for folder in left.read_back],
            "failures": [*left.failures, *done.failures],
        }

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

    def _tell_left(self, left: LeftRuns) -> None:
        for folder in left.read_back:
            self.log.info("%s was killed or gave up, and has been read back from its ledger", folder.path)
        for failure in left.failures:
            self.log.warning("%s", failure)
