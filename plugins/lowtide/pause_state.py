"""How often a run has paused, and how far it was, in Airflow's state store: a retry must not begin to count anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.pipeline.running.pauses import pauses_as_json, with_pauses

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.scheduler import Job

_STATE_KEY = "lowtide_pauses"


class PauseState:
    """The pauses of one training; those of another one under the same run are not counted."""

    def __init__(self, context: Context, training_id: str) -> None:
        self._store, self._training_id = context["task_state_store"], training_id

    def begun(self, job: Job) -> Job:
        """Return the job as its next slice begins."""
        return with_pauses(job, self._store.get(_STATE_KEY), self._training_id)

    def paused(self, job: Job) -> None:
        """Note a pause."""
        self._store.set(_STATE_KEY, pauses_as_json(job, self._training_id))

    def over(self) -> None:
        """Forget the pauses of a training that is complete: one that is cleared begins anew."""
        self._store.set(_STATE_KEY, {})
