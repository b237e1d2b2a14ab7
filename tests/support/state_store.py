"""A task's state store for tries that no test can have Airflow make in seconds, and what the real one holds."""

import json
from typing import Any


class Store(dict[str, object]):
    """What a task's state store does."""

    set = dict.__setitem__


def stored_state(run_id: str) -> dict[str, Any]:
    """Return what the database holds for a run."""
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.scalars(select(TaskStateStoreModel).where(TaskStateStoreModel.run_id == run_id)).all()
        return {row.key: json.loads(row.value) for row in rows}
