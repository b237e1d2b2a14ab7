"""What Airflow knows of Lowtide's connection type without importing the hook: the form, its labels, its fields.

Airflow finds ``get_provider_info`` by the installed package's entry point ``apache_airflow_provider``, while it reads its
configuration. Nothing may be imported here.
"""

from typing import Any

CONNECTION_TYPE = "carbon_intensity"
TESTED_PROVIDERS = ("neso", "energy_charts", "electricity_maps", "watttime", "carbon_aware_sdk")

_TEXT: dict[str, Any] = {"type": ["string", "null"]}

_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {"host": "Address", "login": "User name", "password": "Token or password"},
    "placeholders": {
        "host": "empty: the provider's public address; else https://host/path",
        "port": "443; the Test button of Airflow 3.3.2 needs one (apache/airflow #73298)",
        "login": "WattTime only",
        "password": "empty for a provider without a key",
    },
}

_FORM_FIELDS: dict[str, Any] = {
    "provider": {
        "label": "Provider to test",
        "description": "What 'Test' asks. A run asks the provider that its configuration file names.",
        "schema": _TEXT | {"enum": list(TESTED_PROVIDERS)},
    },
    "zone": {
        "label": "Zone to test",
        "description": "What 'Test' asks for: a zone key of Electricity Maps, e.g. GB or DE.",
        "schema": _TEXT,
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return Lowtide as Airflow's ``provider_info.schema.json`` describes a provider."""
    return {
        "package-name": "lowtide",
        "name": "Lowtide",
        "description": "Carbon-aware retraining: holds a DAG until the grid is clean, measures, compares.",
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-name": "Carbon intensity",
                "hook-class-name": "lowtide.airflow.hook.CarbonIntensityHook",
                "ui-field-behaviour": _FIELD_BEHAVIOUR,
                "conn-fields": _FORM_FIELDS,
            }
        ],
    }
