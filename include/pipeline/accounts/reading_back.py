"""Makes an account of a run that was killed: its ledger says what it was about, and what it used until then."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from include.errors import ArtifactError
from include.files import sha256_of, write_json_atomically
from include.pipeline.accounts.figures import figures_of, foreign_share, real_duration_s
from include.pipeline.accounts.files import Account, load_account
from include.pipeline.accounts.methods import differing_methods, methods_of, scope_of
from include.pipeline.accounts.stand_ins import stand_in_problems
from include.pipeline.run_folder import RunFolder
from include.pipeline.running.batch_sizes import sizes_of_killed
from include.records import IncompleteRecord, LedgerEventKind
from include.tracker import LedgerContents, LedgerWriter, read_ledger
from include.tracker.ledger.attempts import lost_energy
from include.tracker.ledger.uncovered import uncovered_s

_FROM_OPENING = (
    "run_id",
    "comparison_key",
    "configuration",
    "zone",
    "signal_type",
    "emission_factor_type",
    "policy",
    "submitted_at",
    "replay",
    "precision",
    "micro_batch_size",
    "accumulation_steps",
    "effective_batch_size",
    "seed",
    "measuring_scope",
    "gpu_devices",
    "pue",
    "versions",
)


def account_of(folder: RunFolder) -> Account:
    """Return a run's account; of a run that was killed, one is read back from the ledger and kept as ``record.json``.

    :raises ArtifactError: no record and no ledger, a ledger that another process writes to, or one that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    if folder.record.exists():
        account = load_account(folder)
        if isinstance(account, IncompleteRecord) and sha256_of(folder.ledger) != account.ledger_sha256:
            return _read_back(folder)  # it was killed once more since
        return account
    return _read_back(folder)


def opening_details(contents: LedgerContents) -> Mapping[str, Any] | None:
    """Return what the last attempt's opening says of its run; None in a ledger from before there were openings."""
    openings = [event for event in contents.events if event.event is LedgerEventKind.OPENED]
    return openings[-1].details if openings else None


def read_back_where(folder: RunFolder, holds: Callable[[LedgerContents], bool]) -> IncompleteRecord | None:
    """Read a run back that has no record, if its ledger is such that nobody will go on with it; None where it is not.

    :param holds: asked while the ledger is held, so that no attempt begins meanwhile.
    :raises LedgerInUse: another process writes to the ledger.
    :raises ArtifactError: a ledger that says nothing of its run.
    :raises MeasurementError: a ledger without any energy.
    """
    with LedgerWriter(folder.ledger) as ledger:
        contents = read_ledger(folder.ledger)
        if folder.record.exists() or not holds(contents):
            return None
        return _kept(folder, contents, ledger)


def _read_back(folder: RunFolder) -> IncompleteRecord:
    if not folder.ledger.exists():
        raise ArtifactError(f"{folder.path}: there is neither record.json nor ledger.jsonl; give the folder of a run")
    with LedgerWriter(folder.ledger) as ledger:  # refuses a run that still goes on, and moves a torn line aside
        return _kept(folder, read_ledger(folder.ledger), ledger)


def _kept(folder: RunFolder, contents: LedgerContents, ledger: LedgerWriter) -> IncompleteRecord:
    details = opening_details(contents)
    if details is None:
        raise ArtifactError(
            f"{folder.ledger}: does not say what its run was about, since an older version wrote it; train the run to"
            " its end in the same folder"
        )
    record = _account(folder, contents, details, ledger)
    write_json_atomically(folder.record, record.model_dump_json(indent=2))
    return record


def _account(
    folder: RunFolder, contents: LedgerContents, details: Mapping[str, Any], ledger: LedgerWriter
) -> IncompleteRecord:
    rows, methods = contents.rows, methods_of(contents, details.get("methods", {}))
    sizes, unknown = sizes_of_killed(folder, details)
    lost = lost_energy(rows, contents.events)
    further = (*differing_methods(contents), *stand_in_problems(contents))
    told = {key: details[key] for key in _FROM_OPENING if key in details}
    own: Any = (details.get("signal_type"), details.get("emission_factor_type"))
    fields = {**told, **sizes, **figures_of(rows, methods)} | {
        "duration_s": real_duration_s(rows, speed=_speed(details)),
        "foreign_signal_share": foreign_share(rows, own),
        "measuring_scope": scope_of(contents, str(details.get("measuring_scope"))),
        "uncovered_s": _uncovered_s(contents, details, ledger.held_up_s),
        "problems": tuple(dict.fromkeys((*lost, *ledger.problems, *contents.problems, *unknown, *further))),
        "warnings": folder.warnings(),
        "ledger_path": str(folder.ledger),
        "ledger_sha256": sha256_of(folder.ledger),
    }
    try:
        return IncompleteRecord.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{folder.ledger}: its opening line is damaged ({first['loc'][0]}: {first['msg']}); restore the file"
        ) from None


def _uncovered_s(contents: LedgerContents, details: Mapping[str, Any], held_up_s: float) -> float | None:
    interval_s = details.get("interval_s")
    if not isinstance(interval_s, (int, float)):
        return None
    return uncovered_s(
        contents.rows, contents.events, interval_s=interval_s, speed=_speed(details), held_up_s=held_up_s
    )


def _speed(details: Mapping[str, Any]) -> float:
    replay = details.get("replay")
    return float(replay["speed"]) if replay else 1.0
