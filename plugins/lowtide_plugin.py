"""Registers Lowtide with Airflow in an Astronomer project; where the package is installed, Airflow keeps the first of the two."""

from lowtide.airflow.plugin import LowtidePlugin  # noqa: F401
