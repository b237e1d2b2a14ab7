"""The pointer to a run's training in Airflow's state store: what lets a retried or cleared task go on, and only its own.

The store survives retries and clearing, and belongs to one run of the database: a run that was deleted and made again under
the same run id finds nothing there, and so cannot pick up what the deleted one left in the same folder.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.pipeline import new_training_id
from lowtide.run_context import starts_over

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.pipeline import RunFolder

_STATE_KEY = "lowtide_training"
_log = logging.getLogger(__name__)


class TrainingPointer:
    """The training that this task instance may go on with: an earlier try's, or a new one.

    A run with ``fresh`` that a person clears begins a new one.
    """

    def __init__(self, context: Context, folder: RunFolder) -> None:
        self._store, self._try_number = context["task_state_store"], context["ti"].try_number
        self._checkpoints = str(folder.checkpoints)
        stored = self._store.get(_STATE_KEY)
        known = stored if isinstance(stored, dict) and not starts_over(context, _STATE_KEY) else {}
        self.training_id = str(known.get("training_id") or new_training_id())
        self.optimizer_step = known.get("optimizer_step")
        self._set({key: known.get(key) for key in ("checkpoint", "optimizer_step")})

    def move(self, checkpoint: dict[str, Any]) -> None:
        """Note a checkpoint; a store that is away does not end the training, whose folder holds the checkpoint too."""
        try:
            self._set({key: checkpoint[key] for key in ("checkpoint", "optimizer_step")})
        except Exception as error:  # noqa: BLE001 whatever the execution API raises
            _log.warning("the pointer to %s could not be stored (%s)", checkpoint["checkpoint"], error)

    def _set(self, place: dict[str, Any]) -> None:
        about: dict[str, Any] = {
            "training_id": self.training_id,
            "try_number": self._try_number,
            "folder": self._checkpoints,
        }
        self._store.set(_STATE_KEY, about | place)
