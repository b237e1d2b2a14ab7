"""Keeps the grid's history: asks the configured provider for what the store lacks, and merges small parts."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.config import find_zone
from include.moments import utc_now
from include.scheduler.feeds import LiveFeed
from include.scheduler.history import HistoryRecorder, fill, open_history, provider_key
from lowtide.errors import airflow_errors
from lowtide.hooks.carbon_intensity import CarbonIntensityHook
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from include.scheduler.history import Coverage, Filling, HistoryStore

DEFAULT_DAYS = 14


class RecordGridHistoryOperator(BaseOperator):
    """Fills the history of the grid that a configuration file names, and compacts it. Running it again changes nothing.

    The XCom says what was asked, what was news, which gaps remain and which parts cannot be read.

    :param config: configuration file; its ``grid`` section says zone, provider and connection. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param days: how far back gaps are asked for again; the Param ``days`` goes before it.
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
        """Fill, compact, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no history.
        :raises AirflowException: the provider gave no usable answer at all; a later try may do.
        :raises AirflowFailException: a wrong configuration, or a root that cannot be written.
        """
        with airflow_errors():
            config = configuration(context, self.config, self.settings)
            connection = self.grid_conn_id or config.values.grid.connection
            feed = CarbonIntensityHook(connection).signal(config.values.grid).feed
            if not isinstance(feed, LiveFeed):
                raise AirflowSkipException(
                    f"provider {feed.provider.name!r} of {config.source} is no live signal, so there is no history to keep"
                )
            zone = find_zone(config.values.grid.zone)
            store = open_history(config.artifacts_path, provider_key(feed.provider, zone, connection))
            return self._fill(store, feed, context["params"].get("days") or self.days)

    def _fill(self, store: HistoryStore, feed: LiveFeed, days: int) -> dict[str, Any]:
        filling = fill(store, feed, HistoryRecorder(store), days=days, clock=utc_now)
        compaction = store.compact()
        now = utc_now()
        coverage = store.coverage(now - timedelta(days=days), now)
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
