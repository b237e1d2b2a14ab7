"""Lowtide in Airflow's UI: the button on a compare task that opens its report, and the app that serves the report."""

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
        """Return the address below Airflow's own, without a host: with another host the login's cookie would not be sent."""
        del operator
        root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        ids = "/".join(quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        index = -1 if ti_key.map_index is None else ti_key.map_index
        return f"{root}{URL_PREFIX}/reports/{ids}" + (f"?map_index={index}" if index >= 0 else "")


class LowtidePlugin(AirflowPlugin):
    """Lists Lowtide in ``airflow plugins`` and in the UI, and serves the reports."""

    name = "lowtide"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app behind the button "Report"; only the API server reads this: its imports cost a worker 30 MB and a second."""
        from lowtide.airflow.report_app import app

        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Lowtide reports"}]
