"""Reads and replaces what a run's account consists of: record and ledger, which must fit together at any moment."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.errors import ArtifactError
from include.files import sha256_of, write_atomically, write_bytes_atomically, write_json_atomically
from include.pipeline.run_folder import RunFolder
from include.records import IncompleteRecord, LedgerRow, TrainingRecord, tells_of_an_unfinished_run
from include.report import load_record
from include.tracker import hold_ledger

Account = TrainingRecord | IncompleteRecord


def load_account(folder: RunFolder, *, held: bool = False) -> Account:
    """Read a run's record, finished or not; a settlement that was killed half-way is first brought to its end.

    :param held: the caller holds the ledger.
    :raises ArtifactError: missing, damaged, or beside a ledger that is not its own.
    """
    _finish_interrupted(folder, held=held)
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
    """Copy ledger and record to ``booked`` unless they are there, and return the ledger's copy with its checksum.

    Call it for an account that has not been settled: its ledger is the first booking.
    """
    ledger, record = folder.booked / folder.ledger.name, folder.booked / folder.record.name
    checksum = sha256_of(folder.ledger)
    if record.exists() and not (ledger.exists() and sha256_of(ledger) == checksum):
        set_first_booking_aside(folder)  # of an account that was forgotten since: its figures are not these
    if not record.exists():  # the record is copied last: without it, the ledger's copy may be of a kill before
        write_bytes_atomically(ledger, folder.ledger.read_bytes())
        _keep_time(folder.ledger.stat(), ledger)
        write_bytes_atomically(record, folder.record.read_bytes())
    return ledger, checksum


def restore_first_booking(folder: RunFolder) -> None:
    """Put the ledger back as it was before it was settled, because an attempt goes on in it; the settled one goes aside.

    Else the finished run's record would call figures first booked of which a part was settled. The caller holds the ledger.

    :raises ArtifactError: a file cannot be read or written.
    """
    if not folder.ledger.exists():
        return
    account = load_account(folder, held=True)
    first, settlement = folder.booked / folder.ledger.name, account.settlement
    if settlement is None or not first.exists():
        return
    if sha256_of(first) != settlement.first_booked.ledger_sha256:
        return
    if sha256_of(folder.ledger) == account.ledger_sha256:  # else it was restored before a kill
        for file in (folder.ledger, folder.record):
            write_bytes_atomically(folder.booked / f"settled-{file.name}", file.read_bytes())
        write_bytes_atomically(folder.ledger, first.read_bytes())
        _keep_time(first.stat(), folder.ledger)


def set_first_booking_aside(folder: RunFolder) -> None:
    """Give ``booked`` a number: what is settled next will be another account."""
    number = 1 + sum(1 for _ in folder.path.glob("booked-*"))
    folder.booked.replace(folder.path / f"booked-{number}")


def replace_account(folder: RunFolder, ledger_lines: str, account: Account) -> None:
    """Put another ledger and its record in the place of what is there; killed anywhere, the next reader finishes it.

    :raises ArtifactError: a file cannot be written.
    """
    intent, written = folder.settling, folder.ledger.stat()
    write_atomically(intent, account.model_dump_json())
    with contextlib.ExitStack() as held:
        # the caller holds the old file, and an attempt may begin as soon as that is gone
        def hold(replacement: Path) -> None:
            held.enter_context(hold_ledger(replacement))

        write_bytes_atomically(folder.ledger, ledger_lines.encode("utf-8"), before_rename=hold)
        _keep_time(written, folder.ledger)
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


def _finish_interrupted(folder: RunFolder, *, held: bool) -> None:
    intent = folder.settling
    if not intent.exists():
        return
    # held: else one that is still at work would lose its intent
    with contextlib.nullcontext() if held else hold_ledger(folder.ledger):
        data = _json(intent)
        if isinstance(data, dict) and sha256_of(folder.ledger) == data.get("ledger_sha256"):
            write_json_atomically(folder.record, json.dumps(data, indent=2))
        intent.unlink()  # else the ledger is still the old one, which the record fits


def _keep_time(of: os.stat_result, path: Path) -> None:
    # when a killed run was last alive is told by its ledger's time (held_up_s)
    os.utime(path, ns=(of.st_atime_ns, of.st_mtime_ns))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path}: there is no such record; give the folder of a run") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None
    except ValueError:
        raise ArtifactError(f"{path}: is not JSON; the file is damaged, restore it or remove it") from None
