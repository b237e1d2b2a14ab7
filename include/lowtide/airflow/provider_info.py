"""What the entry point ``apache_airflow_provider`` gives Airflow: the connection type ``carbon_intensity`` and its form.

Airflow calls it while it reads its configuration: no import may need Airflow.
"""

from typing import Any

from lowtide.config.providers import LIVE_PROVIDERS

CONNECTION_TYPE = "carbon_intensity"

_TEXT: dict[str, Any] = {"type": ["string", "null"]}

FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {"host": "Address", "login": "User name", "password": "Token or password"},
    "placeholders": {
        "host": "empty: the provider's public address; else https://host/path",
        "port": "443; the Test button of Airflow 3.3.2 needs one (apache/airflow #73298)",
        "login": "WattTime only",
        "password": "empty for a provider without a key",
    },
}

EXTRA_FIELDS: dict[str, Any] = {
    "provider": {
        "label": "Provider to test",
        "description": "The provider that 'Test' asks. A run asks the provider of its configuration file.",
        "schema": _TEXT | {"enum": list(LIVE_PROVIDERS)},
    },
    "zone": {
        "label": "Zone to test",
        "description": "The zone that 'Test' asks for: a zone key of Electricity Maps, e.g. GB or DE.",
        "schema": _TEXT,
    },
}


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
