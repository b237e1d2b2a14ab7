"""Where a run keeps its files.

<artifacts root>/runs/<dag_id>/<run_id>/    ledger.jsonl intensity.jsonl (facts) record.json emissions.csv (derived)
                                            decisions.jsonl child.log
                                            identity.json attempts.jsonl pauses.json checkpoints/
                                            (<run_id>~<map_index> where the task is mapped)
<artifacts root>/reports/<dag_id>/<run_id>/ report.json report.md
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowtide.errors import ArtifactError
from lowtide.io import read_json_lines
from lowtide.records import INTENSITY_NAME, is_unfinished

_log = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]")


def path_name(identifier: str) -> str:
    """Return an identifier as one path component: no separator, and never ``.`` or ``..``.

    Where a character had to be replaced, a short checksum keeps ``a:b`` and ``a_b`` apart.
    """
    name = _UNSAFE.sub("_", identifier)
    name = f"_{name}" if name.startswith(".") else name
    if name == identifier:
        return name
    return f"{name}-{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


class _Entry:
    """A file of a run's folder, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RunFolder", _owner: type) -> Path:
        return folder.path / self._name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    record = _Entry("record.json")
    """The run's record; of a training that did not finish, an incomplete one."""
    ledger = _Entry("ledger.jsonl")
    """The energy ledger, appended to by every attempt."""
    intensity = _Entry(INTENSITY_NAME)
    """What was known of the grid, appended to by every attempt and every settlement."""
    decisions = _Entry("decisions.jsonl")
    """The decisions on waits and pauses, one a line."""
    emissions = _Entry("emissions.csv")
    """The ledger's energy at the intensities known now, as a table; derived, like the record."""
    child_log = _Entry("child.log")
    """What the training child and the user's code printed."""
    identity = _Entry("identity.json")
    """Which training the files here belong to."""
    attempts = _Entry("attempts.jsonl")
    """What each attempt's training warned of, and from where those after the first one resumed."""
    pauses = _Entry("pauses.json")
    """How often the training paused, for an attempt that resumes from the command line."""
    checkpoints = _Entry("checkpoints")
    """The folder of the training's states; after a training that succeeded, it holds the trained weights."""

    @classmethod
    def of_run(cls, artifacts_root: Path, dag_id: str, run_id: str, map_index: int = -1) -> "RunFolder":
        """Return the folder of an Airflow run; each instance of a mapped task has its own."""
        return cls(artifacts_root / "runs" / path_name(dag_id) / _instance_name(run_id, map_index))

    @property
    def is_finished(self) -> bool:
        """Whether a training here succeeded; a record that cannot be read counts as one."""
        try:
            return not is_unfinished(json.loads(self.record.read_bytes()))
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True

    def create(self) -> None:
        """Make the folder.

        :raises ArtifactError: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.path} ({error.strerror}); artifacts_root must be a folder that this worker can write"
            ) from error

    def note_attempt(self, values: Mapping[str, Any]) -> None:
        """Append a note on an attempt for the record. A full disk is logged and does not end the run: only the ledger matters."""
        try:
            with self.attempts.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as error:
            _log.warning("%s cannot be written (%s); it will be missing in the record", self.attempts, error.strerror)

    def resumed_from(self) -> dict[int, int]:
        """Return the optimizer step that each attempt resumed from; attempts that started from scratch are not in it."""
        return {note["attempt"]: note["optimizer_step"] for note in self.notes() if "optimizer_step" in note}

    def warnings(self) -> tuple[str, ...]:
        """Return what the trainings of all attempts warned of, each sentence once."""
        return tuple(dict.fromkeys(str(note["warning"]) for note in self.notes() if "warning" in note))

    def notes(self) -> list[dict[str, Any]]:
        """Return what ``note_attempt`` wrote; a line that a killed worker left half-written is left out."""
        return list(read_json_lines(self.attempts, []))

    def append_decisions(self, decisions: list[dict[str, Any]]) -> None:
        """Append decisions to ``decisions.jsonl``.

        :raises ArtifactError: the file cannot be written.
        """
        self.create()
        try:
            with self.decisions.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(decision) + "\n" for decision in decisions)
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.decisions} ({error.strerror}); free space or fix its permissions"
            ) from error


def report_folder(artifacts_root: Path, dag_id: str, run_id: str, map_index: int = -1) -> Path:
    """Return where the report of an Airflow run goes; each instance of a mapped comparison has its own."""
    return artifacts_root / "reports" / path_name(dag_id) / _instance_name(run_id, map_index)


def _instance_name(run_id: str, map_index: int) -> str:
    return path_name(run_id) if map_index < 0 else f"{path_name(run_id)}~{map_index}"  # no path name holds a ~
