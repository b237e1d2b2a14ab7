"""Keeps the grid's history: asks the configured provider for what the store lacks, and merges small parts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include.config import find_zone
from include.moments import utc_now
from include.scheduler.history import HistoryRecorder, fill, open_history, provider_key
from include.scheduler.signals.feeds import LiveFeed
from lowtide.errors import airflow_errors
from lowtide.hooks.carbon_intensity import CarbonIntensityHook
from lowtide.operators.grid_upkeep import DEFAULT_DAYS, GridUpkeepOperator
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from include.scheduler.history import Coverage, Filling, HistoryStore

__all__ = ["DEFAULT_DAYS", "RecordGridHistoryOperator"]


class RecordGridHistoryOperator(GridUpkeepOperator):
    """Fills the history of the grid that a configuration file names, and compacts it. Running it again changes nothing.

    The XCom says what was asked, what was news, which gaps remain and which parts cannot be read.
    Gaps of the last ``days`` days are asked for again.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Fill, compact, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no history.
        :raises AirflowException: the provider gave no usable answer at all; a later try may do.
        :raises AirflowFailException: a wrong configuration, or a root that cannot be written.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            connection = self.connection_of(config)
            feed = CarbonIntensityHook(connection).signal(config.values.grid).feed
            if not isinstance(feed, LiveFeed):
                raise AirflowSkipException(
                    f"provider {feed.provider.name!r} of {config.source} is no live signal, so there is no history to keep"
                )
            zone = find_zone(config.values.grid.zone)
            store = open_history(config.artifacts_path, provider_key(feed.provider, zone, connection))
            return self._fill(store, feed, self.look_back(context))

    def _fill(self, store: HistoryStore, feed: LiveFeed, look_back: timedelta) -> dict[str, Any]:
        filling = fill(store, feed, HistoryRecorder(store), days=look_back.days, clock=utc_now)
        compaction = store.compact()
        now = utc_now()
        coverage = store.coverage(now - look_back, now)
        self._log(filling, coverage)
        return {
            "key": store.key.as_json(),
            "path": str(store.folder),
            "filled": filling.as_json(),
            "coverage": coverage.as_json(),
            "compaction": asdict(compaction),
        }

    def _log(self, filling: Filling, coverage: Coverage) -> None:
        self.log.info(
            "%d requests, %d new values; %.1f %% of the last days are known, %d gaps",
            len(filling.asked),
            filling.news,
            coverage.actual_percent,
            len(coverage.gaps),
        )
        for failure in filling.failures:
            self.log.warning("no answer for %s", failure)
        for part in coverage.unreadable_parts:
            self.log.warning("skipped the part %s, which cannot be read", part)
