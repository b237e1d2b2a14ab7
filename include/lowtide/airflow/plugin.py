"""The button on a compare task that opens its HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


URL_PREFIX = "/lowtide"


class ReportLink(BaseOperatorLink):
    """Links a comparison to its report, by the ids of its task instance only."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address below Airflow's own, without a host: under another one the login's cookie would not be sent."""
        del operator
        root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        ids = "/".join(quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        index = -1 if ti_key.map_index is None else ti_key.map_index
        mapped = f"?map_index={index}" if index >= 0 else ""
        return f"{root}{URL_PREFIX}/reports/{ids}{mapped}"


# Registers Lowtide with Airflow. The adapters themselves are imported by the DAGs from ``lowtide``.


class LowtidePlugin(AirflowPlugin):
    """Makes Lowtide visible in ``airflow plugins`` and in the UI's list of plugins, and serves the reports."""

    name = "lowtide"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app behind the button "Report". Asked for by the API server only: its imports cost a worker 30 MB and a second."""
        from lowtide.airflow.report_app import app

        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Lowtide reports"}]
