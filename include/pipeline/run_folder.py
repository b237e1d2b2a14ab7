"""Where a run keeps its files, and what happens to them when a run is done again.

<artifacts root>/runs/<dag_id>/<run_id>/    record.json ledger.jsonl decisions.jsonl child.log progress.json wait.json
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

from include.errors import ArtifactError
from include.records import tells_of_an_unfinished_run

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


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @classmethod
    def of_run(cls, artifacts_root: Path, dag_id: str, run_id: str) -> "RunFolder":
        """Return the folder of an Airflow run."""
        return cls(artifacts_root / "runs" / path_name(dag_id) / path_name(run_id))

    @property
    def record(self) -> Path:
        """The training record; exists only when the training succeeded."""
        return self.path / "record.json"

    @property
    def ledger(self) -> Path:
        """The energy ledger, appended to by every attempt."""
        return self.path / "ledger.jsonl"

    @property
    def decisions(self) -> Path:
        """The evidence of the wait: one decision a line."""
        return self.path / "decisions.jsonl"

    @property
    def submission_readings(self) -> Path:
        """The grid's readings from submission on, at which the counterfactual is booked."""
        return self.path / "submission_readings.jsonl"

    @property
    def booked(self) -> Path:
        """Ledger and record as they were before anything was settled, byte for byte; a folder."""
        return self.path / "booked"

    @property
    def child_log(self) -> Path:
        """What the training child and the user's code printed."""
        return self.path / "child.log"

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

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Prepare for a training: move what a finished one left to ``finished-N``, and what another one left to ``other-N``.

        What failed attempts of the same training left stays, and the ledger is continued: their energy was used for this
        result too.

        :param identity: configuration and replay anchor; what differs in them is another training.
        """
        self.create()
        text = json.dumps(identity, sort_keys=True)
        self._forget_unfinished_account()
        if self.record.exists():
            self._move_to("finished")
        elif self.ledger.exists() and self._identity() != text:
            self._move_to("other")
        self.identity.write_text(text, encoding="utf-8")

    @property
    def identity(self) -> Path:
        """Which training the files here belong to."""
        return self.path / "identity.json"

    def _identity(self) -> str | None:
        return self.identity.read_text(encoding="utf-8") if self.identity.exists() else None

    def _forget_unfinished_account(self) -> None:
        """Take away what was read back after a kill: the run goes on, and its record will tell of all attempts."""
        try:
            unfinished = tells_of_an_unfinished_run(json.loads(self.record.read_bytes()))
        except (OSError, ValueError):  # there is none, or one that is moved aside as it is
            return
        if unfinished:
            self.record.unlink()

    def _move_to(self, name: str) -> None:
        number = 1 + sum(1 for _ in self.path.glob(f"{name}-*"))
        target = self.path / f"{name}-{number}"
        target.mkdir()
        settled = sorted(self.path.glob("settled_readings-*")) + sorted(self.path.glob("submission_readings-*"))
        for file in (self.record, self.ledger, self.submission_readings, self.child_log, self.booked, *settled):
            if file.exists():
                file.replace(target / file.name)

    def publish(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a small JSON file that is shown to a person while the run goes on; the last one wins.

        A full disk is told and does not end the run: the ledger, which matters, has its own way to survive it.
        """
        temporary = self.path / f".{name}.part"
        try:
            temporary.write_text(json.dumps(values), encoding="utf-8")
            temporary.replace(self.path / name)
        except OSError as error:
            _log.warning("%s cannot be written (%s); progress is not shown", self.path / name, error.strerror)

    def append_decisions(self, decisions: list[dict[str, Any]]) -> None:
        """Append decisions to the evidence of the wait.

        :raises ArtifactError: the file cannot be written.
        """
        self.create()
        try:
            with self.decisions.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(decision) + "\n" for decision in decisions)
        except OSError as error:
            raise ArtifactError(
                f"cannot write {self.decisions} ({error.strerror}); free space or mend its permissions"
            ) from error


def report_folder(artifacts_root: Path, dag_id: str, run_id: str) -> Path:
    """Return where the report of an Airflow run goes."""
    return artifacts_root / "reports" / path_name(dag_id) / path_name(run_id)
