"""How often a run has paused, and how far it was, in Airflow's state store: a retry must not begin to count anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.pipeline.pausing import resumed
from include.scheduler.pausing import Progress

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
        stored = self._store.get(_STATE_KEY)
        if not isinstance(stored, dict) or stored.get("training_id") != self._training_id:
            return job
        known: Any = stored
        expected = timedelta(seconds=known["expected_duration_s"])
        return resumed(replace(job, expected_duration=expected, progress=Progress.from_json(known["progress"])))

    def paused(self, job: Job) -> None:
        """Note a pause."""
        if job.progress is not None:
            known: dict[str, Any] = {"training_id": self._training_id, "progress": job.progress.as_json()}
            self._store.set(_STATE_KEY, known | {"expected_duration_s": job.expected_duration.total_seconds()})

    def over(self) -> None:
        """Forget the pauses of a training that is complete: one that is cleared begins anew."""
        self._store.set(_STATE_KEY, {})
