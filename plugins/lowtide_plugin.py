"""Registers Lowtide with Airflow. The adapters themselves are imported by the DAGs from ``lowtide``."""

from airflow.plugins_manager import AirflowPlugin


class LowtidePlugin(AirflowPlugin):
    """Makes Lowtide visible in ``airflow plugins`` and in the UI's list of plugins."""

    name = "lowtide"
