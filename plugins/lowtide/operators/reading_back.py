"""Accounts for runs that were killed and that nobody goes on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.moments import utc_now
from include.pipeline.settling.left_runs import read_back_left_runs
from lowtide.errors import airflow_errors
from lowtide.operators.configured import ConfiguredOperator
from lowtide.run_context import configuration

if TYPE_CHECKING:
    from airflow.sdk import Context


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
            config = configuration(context, self.config, self.settings)
            left = read_back_left_runs(config.artifacts_path, now=utc_now())
        for folder in left.read_back:
            self.log.info("%s was killed or gave up, and has been read back from its ledger", folder.path)
        for failure in left.failures:
            self.log.warning("%s", failure)
        return {"read_back": [str(folder.record) for folder in left.read_back], "failures": left.failures}
