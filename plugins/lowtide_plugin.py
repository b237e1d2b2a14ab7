"""Registers the plugin in an Airflow that finds the package on its path only; an installed package registers itself."""

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="lowtide"):
    from lowtide.airflow.plugin import LowtidePlugin  # noqa: F401
