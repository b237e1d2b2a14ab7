"""An auth manager with permissions per DAG: Airflow's simple one, where a viewer named after a DAG reads that DAG only."""

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PerDagAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        own = details is not None and details.id == user.username
        return own and super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
