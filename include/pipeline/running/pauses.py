"""How often a training has paused and how far it was, in words that survive the process: who goes on must not count anew."""

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from include.errors import ArtifactError
from include.files import write_json_atomically
from include.pipeline.run_folder import RunFolder
from include.pipeline.running.beginning import unfinished
from include.scheduler import Job
from include.scheduler.pausing import Progress

_log = logging.getLogger(__name__)


def resumed(job: Job) -> Job:
    """Return a paused job as its next slice begins."""
    progress = job.progress or Progress(done=timedelta(0), running=True, pauses=0)
    return replace(job, progress=replace(progress, running=True))


def pauses_as_json(job: Job, training_id: str) -> dict[str, Any]:
    """Return what ``with_pauses`` needs; nothing where the job has not begun."""
    if job.progress is None:
        return {}
    return {
        "training_id": training_id,
        "progress": job.progress.as_json(),
        "expected_duration_s": job.expected_duration.total_seconds(),
    }


def with_pauses(job: Job, known: Any, training_id: str) -> Job:
    """Return a job as its next slice begins; unchanged where what is known is of another training, or nothing."""
    if not isinstance(known, dict) or known.get("training_id") != training_id:
        return job
    expected = timedelta(seconds=known["expected_duration_s"])
    return resumed(replace(job, expected_duration=expected, progress=Progress.from_json(known["progress"])))


def note_pause(folder: RunFolder, job: Job) -> None:
    """Keep a pause in the run's folder; a full disk is told and does not end the run."""
    beginning = unfinished(folder)
    if beginning is None:
        return
    try:
        write_json_atomically(folder.pauses, json.dumps(pauses_as_json(job, beginning.training_id)))
    except (ArtifactError, OSError) as error:
        _log.warning("%s: the pause is not counted if the training must be gone on with by hand", error)


def earlier_pauses(folder: RunFolder, job: Job) -> Job:
    """Return the job of a folder's unfinished training with the pauses that were kept of it."""
    beginning = unfinished(folder)
    try:
        known = json.loads(folder.pauses.read_text(encoding="utf-8"))
        return with_pauses(job, known, beginning.training_id) if beginning else job
    except FileNotFoundError:
        return job
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read (%s); its pauses are not counted", folder.pauses, error)
        return job
