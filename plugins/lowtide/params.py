"""The form of a manual trigger, made from the configuration's own schema."""

from collections.abc import Collection

from airflow.sdk import Param

from include.config import param_schemas


def dag_params(*, without: Collection[str] = ()) -> dict[str, Param]:
    """Return nullable Params; null means as in the configuration file.

    :param without: names that mean nothing to a DAG.
    """
    return {name: Param(None, **schema) for name, schema in param_schemas().items() if name not in without}
