"""What the entry point ``apache_airflow_provider`` gives Airflow while it reads its configuration: no import may need Airflow."""

from typing import Any

from lowtide.airflow.connection_form import CONNECTION_TYPE, EXTRA_FIELDS, FIELD_BEHAVIOUR


def get_provider_info() -> dict[str, Any]:
    """Return Lowtide as Airflow's ``provider_info.schema.json`` describes a provider."""
    connection_type = {
        "connection-type": CONNECTION_TYPE,
        "hook-name": "Carbon intensity",
        "hook-class-name": "lowtide.airflow.hook.CarbonIntensityHook",
        "ui-field-behaviour": FIELD_BEHAVIOUR,
        "conn-fields": EXTRA_FIELDS,
    }
    return {
        "package-name": "lowtide",
        "name": "Lowtide",
        "description": "Carbon-aware retraining: holds a DAG until the grid is clean, measures, compares.",
        "connection-types": [connection_type],
    }
