"""The form of the connection type ``carbon_intensity`` in Airflow's UI: its labels, placeholders and extra fields.

Airflow reads it through ``provider_info`` while it reads its configuration, so nothing that needs Airflow may be imported.
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
