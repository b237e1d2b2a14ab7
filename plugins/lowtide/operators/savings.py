"""Refreshes the savings ledger: what all runs used, emitted and avoided, by month and model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.moments import utc_now
from include.report.savings import refresh_savings
from include.report.savings.text import HEADER, remarks, rows, title
from lowtide.errors import airflow_errors
from lowtide.operators.configured import ConfiguredOperator
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from airflow.sdk import Context


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
            config = configuration(context, self.config, self.settings)
            savings, paths = refresh_savings(config.artifacts_path, settings=config.values.report, now=utc_now())
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
