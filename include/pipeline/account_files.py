"""Reads and replaces what a run's account consists of: record and ledger, which must fit together at any moment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.errors import ArtifactError
from include.files import sha256_of, write_atomically, write_bytes_atomically, write_json_atomically
from include.pipeline.run_folder import RunFolder
from include.records import IncompleteRecord, LedgerRow, TrainingRecord, tells_of_an_unfinished_run
from include.report import load_record

Account = TrainingRecord | IncompleteRecord


def load_account(folder: RunFolder) -> Account:
    """Read a run's record, finished or not; a settlement that was killed half-way is first brought to its end.

    :raises ArtifactError: missing, damaged, or beside a ledger that is not its own.
    """
    _finish_interrupted(folder)
    data = _json(folder.record)
    if not tells_of_an_unfinished_run(data):
        return load_record(folder.path)
    try:
        return IncompleteRecord.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{folder.record}: is not the account of a run: {first['loc']}: {first['msg']}; remove it and read the run back"
        ) from None


def keep_first_booking(folder: RunFolder) -> tuple[Path, str]:
    """Copy ledger and record to ``booked`` unless they are there, and return the ledger's copy with its checksum."""
    ledger, record = folder.booked / folder.ledger.name, folder.booked / folder.record.name
    if not record.exists():  # the record is copied last: without it, the ledger's copy may be of a kill before
        write_bytes_atomically(ledger, folder.ledger.read_bytes())
        write_bytes_atomically(record, folder.record.read_bytes())
    return ledger, sha256_of(ledger)


def replace_account(folder: RunFolder, ledger_lines: str, account: Account) -> None:
    """Put another ledger and its record in the place of what is there; killed anywhere, the next reader finishes it.

    :raises ArtifactError: a file cannot be written.
    """
    intent = folder.settling
    write_atomically(intent, account.model_dump_json())
    write_atomically(folder.ledger, ledger_lines)
    write_json_atomically(folder.record, account.model_dump_json(indent=2))
    intent.unlink()


def ledger_lines(path: Path, old: Sequence[LedgerRow], new: Sequence[LedgerRow]) -> str:
    """Return a ledger's text with other rows; each old row's place is taken by the rows that divide its time.

    :param old: the rows as they are in the file, in its order; a line of one that stays is kept byte for byte.
    """
    before, after = iter(old), iter(new)
    following = next(after, None)
    lines = []
    for raw in path.read_text(encoding="utf-8").splitlines():
        if raw.startswith('{"event"'):
            lines.append(raw + "\n")
            continue
        row = next(before)
        while following is not None and following.end <= row.end:
            lines.append(raw + "\n" if following is row else following.as_json_line())
            following = next(after, None)
    return "".join(lines)


def _finish_interrupted(folder: RunFolder) -> None:
    intent = folder.settling
    if not intent.exists():
        return
    data = _json(intent)
    if isinstance(data, dict) and folder.ledger.exists() and sha256_of(folder.ledger) == data.get("ledger_sha256"):
        write_json_atomically(folder.record, json.dumps(data, indent=2))
    intent.unlink()  # else the ledger is still the old one, which the record fits


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such record; give the folder of a run") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    except ValueError:
        raise ArtifactError(f"{path}: is not JSON; the file is damaged, restore it or remove it") from None
