"""The tasks of the DAG ``grid_history``: store the grid's history, recover killed runs, settle accounts, sum up savings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from lowtide.airflow.operator import ConfiguredOperator, airflow_errors
from lowtide.grid.backfill import fill
from lowtide.grid.client import ProviderClient
from lowtide.report.savings import refresh_savings
from lowtide.report.savings_text import HEADER, remarks, rows, title
from lowtide.runs.maintenance import recover_left_runs, settle_recent_runs
from lowtide.runs.settlement import history_of
from lowtide.timeutil import utc_now

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lowtide.airflow.context import RunContext
    from lowtide.grid.history import HistoryStore

DEFAULT_DAYS = 14


class GridHistoryOperator(ConfiguredOperator):
    """An operator on the stored history of the configured grid. Running it again changes nothing.

    :param days: how many days back it works; the Param ``days`` overrides it.
    """

    def __init__(self, *, days: int = DEFAULT_DAYS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.days = days

    def look_back(self, context: Context) -> timedelta:
        """Return how far back this run works."""
        return timedelta(days=context["params"].get("days") or self.days)

    def live_source(self, run: RunContext) -> tuple[ProviderClient, HistoryStore]:
        """Return the live provider and its stored history.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no history.
        """
        client, config = self.intensity_client(run), run.config
        history = history_of(client, config.artifacts_path, config.values.grid.connection)
        if history is None or not isinstance(client.source, ProviderClient):
            raise AirflowSkipException(
                f"provider {client.provider.name!r} of {config.source} is not a live provider: it has no history"
            )
        return client.source, history


class RecordGridHistoryOperator(GridHistoryOperator):
    """Stores what the provider knows of the last days and the hours to come, and asks again for gaps.

    The XCom has the requests, the number of new values, the remaining gaps and the unreadable files.
    """

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Fill the history, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile.
        :raises AirflowException: the provider gave no usable answer; a retry may succeed.
        :raises AirflowFailException: a wrong configuration.
        """
        (provider, store), look_back = self.live_source(self.run_context(context)), self.look_back(context)
        filling = fill(store, provider, days=look_back.days, clock=utc_now)
        now = utc_now()
        coverage = store.coverage(now - look_back, now)
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
        return {
            "key": store.key.as_json(),
            "path": str(store.folder),
            "filled": filling.as_json(),
            "coverage": coverage.as_json(),
        }


class RecoverRunsOperator(ConfiguredOperator):
    """Writes the records of runs that were killed, failed or stopped, from their ledgers; else no account would have them.

    It covers every run under the artifact root, of any grid, and sends no request. The XCom has the records' paths and what
    could not be recovered.
    """

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Recover each run, and return the records' paths; a failure is logged and does not stop the others."""
        recovered, failures = recover_left_runs(self.run_context(context).config.artifacts_path, now=utc_now())
        for folder in recovered:
            self.log.info("%s was killed or failed; recovered its record from its ledger", folder.path)
        for failure in failures:
            self.log.warning("%s", failure)
        return {"recovered": [str(folder.record) for folder in recovered], "failures": failures}


class SettleRunsOperator(GridHistoryOperator):
    """Settles the runs of the last days from the stored history, and renews their reports; it sends no request.

    The XCom has the runs whose emissions changed, with both figures, the renewed reports, and what failed.
    """

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, renew reports, and return what was done.

        :raises AirflowSkipException: the configured grid is a replay or a profile, which have no actual figures.
        """
        run = self.run_context(context)
        _, history = self.live_source(run)
        done = settle_recent_runs(
            run.config.artifacts_path,
            history,
            now=utc_now(),
            look_back=self.look_back(context),
            settings=run.config.values.report,
        )
        self.log.info(
            "%d runs checked, %d settled, %d reports renewed", done.checked, len(done.settled), len(done.reports)
        )
        for failure in done.failures:
            self.log.warning("not settled: %s", failure)
        return done.as_json()


class RefreshSavingsOperator(ConfiguredOperator):
    """Writes ``savings.json``, ``savings.csv`` and ``runs.csv`` under ``savings/`` of the artifact root.

    It reads every record and sends no request. The XCom has the paths and each group's totals.
    """

    @airflow_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Write the files and return their paths.

        :raises AirflowException: a file cannot be written; a retry may succeed.
        """
        savings, paths = refresh_savings(self.run_context(context).config.artifacts_path, now=utc_now())
        for group in savings.groups:
            _, *figures = rows(group)[-1]
            totals = ", ".join(f"{name}: {text}" for name, text in zip(HEADER[1:], figures, strict=True))
            for line in (title(group), totals, *remarks(group)):
                self.log.info("%s", line)
        if savings.left_out:
            self.log.info("runs that are in no sum: %d; runs.csv has the reasons", len(savings.left_out))
        return {
            "paths": {name: str(path) for name, path in paths.items()},
            "groups": [
                group.model_dump(mode="json", exclude={"by_month", "by_model", "cells"}) for group in savings.groups
            ],
            "left_out": len(savings.left_out),
        }
