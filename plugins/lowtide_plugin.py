"""Registers Lowtide with Airflow. The adapters themselves are imported by the DAGs from ``lowtide``."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LowtidePlugin(AirflowPlugin):
    """Makes Lowtide visible in ``airflow plugins`` and in the UI's list of plugins, and serves the reports."""

    name = "lowtide"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app behind the button "Report". Asked for by the API server only: its imports cost a worker 30 MB and a second."""
        from lowtide.report_link import URL_PREFIX  # noqa: PLC0415
        from lowtide.report_route import app  # noqa: PLC0415

        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Lowtide reports"}]
