"""The button on a compare task that opens its HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
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
