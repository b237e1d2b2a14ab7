"""What a run's folder holds beside its figures; whatever cannot be read is said on the page, and the rest is shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from include.errors import InvalidAnswer
from include.files import sha256_of
from include.moments import parse_moment
from include.records import Reading, TrainingRecord
from include.report.html.json_lines import objects
from include.report.html.ledger_columns import LedgerColumns, read_columns
from include.report.model import RunFigures
from include.report.waits.queue import decision_files


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A file that figures follow from; ``checked``: its checksum is the recorded one, None = none was recorded."""

    what: str
    path: str
    sha256: str | None
    checked: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One decision of a wait or of a running training."""

    at: datetime
    action: str
    reason: str
    text: str
    threshold_gco2eq_per_kwh: float | None
    deadline: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one run; without its folder everything is empty, and ``problems`` says so."""

    record: TrainingRecord | None = None
    rows: LedgerColumns | None = None
    looks: tuple[Look, ...] = ()
    seen: tuple[Reading, ...] = ()
    at_submission: tuple[Reading, ...] = ()
    files: tuple[EvidenceFile, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """Seconds of the ledger's time in a real second: 1 unless the run was replayed."""
        return self.record.replay.speed if self.record is not None and self.record.replay is not None else 1.0


def gather(run: RunFigures, folder: Path | None = None) -> Evidence:
    """Read what lies beside a run's ledger, or in ``folder`` where the run was moved since.

    Only a ledger with the recorded checksum is drawn: a page must not show one run's curve under another one's figures.
    """
    folder = folder or Path(run.ledger_path).parent
    ledger = folder / "ledger.jsonl"
    try:
        found = sha256_of(ledger)
    except OSError as error:
        why = f"its ledger {ledger} cannot be read here ({error.strerror or error})"
        return Evidence(files=_files(run, folder, None), problems=(why,))
    files = _files(run, folder, found)
    if found != run.ledger_sha256:
        return Evidence(files=files, problems=(f"its ledger {ledger} has changed since the record was written",))
    return _read(run, folder, ledger, files)


def _read(run: RunFigures, folder: Path, ledger: Path, files: tuple[EvidenceFile, ...]) -> Evidence:
    problems: list[str] = []
    rows = read_columns(ledger)
    if rows is None:
        problems.append(f"its ledger {ledger} has no rows")
    elif rows.passed_over:
        problems.append(f"{rows.passed_over} lines of {ledger} are no rows and are left out")
    looks, seen = _decisions(folder, problems)
    return Evidence(
        record=_record(folder / "record.json", run, problems),
        rows=rows,
        looks=looks,
        seen=seen,
        at_submission=tuple(_readings(_submission_file(run, folder), problems)),
        files=files,
        problems=tuple(problems),
    )


def _record(path: Path, run: RunFigures, problems: list[str]) -> TrainingRecord | None:
    try:
        record = TrainingRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        problems.append(f"its record {path} cannot be read here ({type(error).__name__})")
        return None
    if (record.run_id, record.ledger_sha256) == (run.run_id, run.ledger_sha256):
        return record
    problems.append(f"{path} is the record of another training by now")
    return None


def _decisions(folder: Path, problems: list[str]) -> tuple[tuple[Look, ...], tuple[Reading, ...]]:
    looks, seen = [], []
    for path, data in ((file, data) for file in decision_files(folder) for data in objects(file, problems)):
        try:
            deadline = data.get("deadline")
            look = Look(
                at=parse_moment(data["decided_at"]),
                action=str(data["action"]),
                reason=str(data["reason"]),
                text=str(data["text"]),
                threshold_gco2eq_per_kwh=data.get("threshold_gco2eq_per_kwh"),
                deadline=parse_moment(deadline) if deadline else None,
            )
            reading = Reading.from_json(data["reading"]) if data.get("reading") else None
        except (KeyError, TypeError, ValueError, InvalidAnswer) as error:
            problems.append(f"a line of {path} is no decision ({type(error).__name__}) and is left out")
            continue
        looks.append(look)
        seen += [reading] if reading is not None else []
    return tuple(sorted(looks, key=lambda look: look.at)), tuple(seen)


def _submission_file(run: RunFigures, folder: Path) -> Path:
    named = run.counterfactual.readings_path if run.counterfactual is not None else None
    return folder / (Path(named).name if named else "submission_readings.jsonl")


def _readings(path: Path, problems: list[str]) -> Iterator[Reading]:
    for data in objects(path, problems):
        try:
            yield Reading.from_json(data)
        except (KeyError, TypeError, ValueError, InvalidAnswer) as error:
            problems.append(f"a line of {path} is no reading ({type(error).__name__}) and is left out")


def _files(run: RunFigures, folder: Path, ledger_sha256: str | None) -> tuple[EvidenceFile, ...]:
    checked = None if ledger_sha256 is None else ledger_sha256 == run.ledger_sha256
    found: list[EvidenceFile | None] = [
        EvidenceFile(what="ledger", path=run.ledger_path, sha256=run.ledger_sha256, checked=checked)
    ]
    readings, settlement = run.counterfactual, run.settlement
    if readings is not None and readings.readings_path is not None:
        found.append(_file("readings from submission on", readings.readings_path, readings.readings_sha256, folder))
    if settlement is not None:
        first = settlement.first_booked
        found.append(_file("actual readings", settlement.readings_path, settlement.readings_sha256, folder))
        found.append(_file("ledger as first booked", first.ledger_path, first.ledger_sha256, folder / "booked"))
    beside = Path(run.ledger_path)
    for what, name in (("record", "record.json"), ("decisions", "decisions.jsonl")):
        found.append(_file(what, str(beside.with_name(name)), None, folder))
    *of_the_run, _ = decision_files(folder)
    found += [_file("decisions of the run", str(path), None, path.parent) for path in of_the_run]
    return tuple(file for file in found if file is not None)


def _file(what: str, path: str, recorded_sha256: str | None, folder: Path) -> EvidenceFile | None:
    """Return a file with its checksum; None where nothing was recorded of it and it is not there."""
    try:
        found = sha256_of(folder / Path(path).name)
    except OSError:
        if recorded_sha256 is None:
            return None
        return EvidenceFile(what=what, path=path, sha256=recorded_sha256, checked=None)
    if recorded_sha256 is None:
        return EvidenceFile(what=what, path=path, sha256=found, checked=None)
    return EvidenceFile(what=what, path=path, sha256=recorded_sha256, checked=found == recorded_sha256)
