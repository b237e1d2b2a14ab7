"""Keeps the grid's history: asks the configured provider for what the store lacks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from lowtide.airflow.operator import ConfiguredOperator, airflow_errors
from lowtide.config.zones import find_zone
from lowtide.grid.backfill import HistoryRecorder, fill, provider_key
from lowtide.grid.client import LiveFeed
from lowtide.grid.history import open_history
from lowtide.report.savings import refresh_savings
from lowtide.report.savings_text import HEADER, remarks, rows, title
from lowtide.runs.maintenance import read_back_left_runs, settle_recent_runs
from lowtide.runs.settlement import history_of
from lowtide.timeutil import utc_now

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from lowtide.airflow.context import RunContext
    from lowtide.grid.backfill import Filling
    from lowtide.grid.history import Coverage, HistoryStore
    from lowtide.runs.maintenance import Settling


# What the tasks of ``grid_history`` have in common: whose grid they look after, and how far back.


DEFAULT_DAYS = 14


class GridUpkeepOperator(ConfiguredOperator):
    """Looks after what is kept of one grid. Running it again changes nothing.

    :param config: configuration file; its ``grid`` section says zone, provider and connection. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    :param days: how far back is looked; the Param ``days`` goes before it.
    :param grid_conn_id: connection of the provider; None for the configuration's ``grid.connection``. (templated)
    """

    ui_color = "#d9ead3"

    def __init__(self, *, days: int = DEFAULT_DAYS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.days = days

    def look_back(self, context: Context) -> timedelta:
        """Return how far back this run looks."""
        return timedelta(days=context["params"].get("days") or self.days)


class RecordGridHistoryOperator(GridUpkeepOperator):
    """Fills the history of the grid that a configuration file names, as far as the provider has it. Running it again changes nothing.

    The XCom says what was asked, what was news, which gaps remain and which files cannot be read.
    Gaps of the last ``days`` days are asked for again.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Fill, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no history.
        :raises AirflowException: the provider gave no usable answer at all; a later try may do.
        :raises AirflowFailException: a wrong configuration, or a root that cannot be written.
        """
        with airflow_errors():
            run = self.run_context(context)
            config = run.config
            feed = self.intensity_client(run).feed
            if not isinstance(feed, LiveFeed):
                raise AirflowSkipException(
                    f"provider {feed.provider.name!r} of {config.source} is no live signal, so there is no history to keep"
                )
            zone = find_zone(config.values.grid.zone)
            store = open_history(
                config.artifacts_path, provider_key(feed.provider, zone, config.values.grid.connection)
            )
            return self._fill(store, feed, self.look_back(context))

    def _fill(self, store: HistoryStore, feed: LiveFeed, look_back: timedelta) -> dict[str, Any]:
        filling = fill(store, feed, HistoryRecorder(store), days=look_back.days, clock=utc_now)
        now = utc_now()
        coverage = store.coverage(now - look_back, now)
        self._log(filling, coverage)
        return {
            "key": store.key.as_json(),
            "path": str(store.folder),
            "filled": filling.as_json(),
            "coverage": coverage.as_json(),
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
        for file in coverage.unreadable_files:
            self.log.warning("skipped the file %s, which cannot be read", file)


# Accounts for runs that were killed and that nobody goes on with.


class ReadBackRunsOperator(ConfiguredOperator):
    """Reads back runs that were killed, failed or stopped from their ledgers: without a record they were in no account.

    Asks nobody, and looks at every run under the artifact root, of any grid. The XCom says which runs were read back, and
    what could not be.

    :param config: configuration file, for the artifact root. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    """

    ui_color = "#d9ead3"

    def execute(self, context: Context) -> dict[str, Any]:
        """Read back and return the records' paths; one that cannot be is told, and the others go on."""
        with airflow_errors():
            run = self.run_context(context)
            left = read_back_left_runs(run.config.artifacts_path, now=utc_now())
        for folder in left.read_back:
            self.log.info("%s was killed or gave up, and has been read back from its ledger", folder.path)
        for failure in left.failures:
            self.log.warning("%s", failure)
        return {"read_back": [str(folder.record) for folder in left.read_back], "failures": left.failures}


# Refreshes the savings ledger: what all runs used, emitted and avoided, by month and model.


class RefreshSavingsOperator(ConfiguredOperator):
    """Writes ``savings.json``, ``savings.csv`` and ``runs.csv`` under ``savings/`` of the artifact root; asks nobody.

    Only runs that have changed since the last time are read. The XCom has the paths and each group's totals.

    :param config: configuration file, for the artifact root and the report's settings. (templated)
    :param settings: dotted keys to lay over the file. (templated)
    """

    ui_color = "#dce6f5"

    def execute(self, context: Context) -> dict[str, Any]:
        """Refresh the files and return where they are.

        :raises AirflowException: a file cannot be written; a later try may do.
        """
        with airflow_errors():
            run = self.run_context(context)
            savings, paths = refresh_savings(
                run.config.artifacts_path, settings=run.config.values.report, now=utc_now()
            )
        for group in savings.groups:
            self.log.info("%s", title(group))
            _, *figures = rows(group)[-1]
            self.log.info("%s", ", ".join(f"{name}: {text}" for name, text in zip(HEADER[1:], figures, strict=True)))
            for remark in remarks(group):
                self.log.info("%s", remark)
        if savings.left_out:
            self.log.info("runs that are in no sum: %d; runs.csv says why", len(savings.left_out))
        return {
            "paths": {name: str(path) for name, path in paths.items()},
            "groups": [
                group.model_dump(mode="json", exclude={"by_month", "by_model", "cells"}) for group in savings.groups
            ],
            "left_out": len(savings.left_out),
        }


# Books recent runs again at what the grid's history has learnt since.


class SettleRunsOperator(GridUpkeepOperator):
    """Settles the runs of the last days from the stored history, and renews the reports that rest on them; asks nobody.

    The XCom says which runs were booked again, from how many grams to how many, and what failed.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, renew reports, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no actual figures.
        """
        with airflow_errors():
            run = self.run_context(context)
            done = self._settle(context, run)
        self.log.info(
            "%d runs looked at, %d settled, %d reports renewed", done.looked_at, len(done.settled), len(done.reports)
        )
        for failure in done.failures:
            self.log.warning("not settled: %s", failure)
        return done.as_json()

    def _settle(self, context: Context, run: RunContext) -> Settling:
        config = run.config
        signal = self.intensity_client(run)
        history = history_of(signal, config.artifacts_path, config.values.grid.connection)
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
