"""Settles a run: books it again where the grid's actual figures have arrived, and keeps what was booked first."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from include.errors import ArtifactError
from include.files import sha256_of, write_atomically
from include.pipeline.accounts.figures import foreign_share
from include.pipeline.accounts.files import Account, keep_first_booking, ledger_lines, load_account, replace_account
from include.pipeline.accounts.reading_back import account_of
from include.pipeline.run_folder import RunFolder
from include.pipeline.settling.actuals import ACTUAL, Actuals
from include.records import Counterfactual, FirstBooked, LedgerRow, Reading, Settlement
from include.scheduler.curves.coverage import cover
from include.tracker import (
    actual_readings,
    counterfactual,
    emissions_interval,
    hold_ledger,
    read_ledger,
    rescored,
    settle_rows,
    summarise,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRun:
    """A run's account after a settlement; ``before`` is the same one where there was nothing new."""

    folder: RunFolder
    before: Account
    after: Account

    @property
    def changed(self) -> bool:
        """Whether anything was booked again."""
        return self.before != self.after

    @property
    def unsettled_energy_share(self) -> float:
        """Share of the energy that is still booked at something else than an actual or replayed figure."""
        kinds = self.after.intensity_kinds
        return sum(share for kind, share in kinds.items() if kind not in (*ACTUAL, "replayed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """The rows as they are, the readings that their settlement rests on, and when it was made."""

    rows: Sequence[LedgerRow]
    actuals: Sequence[Reading]
    at_submission: Sequence[Reading]
    now: datetime


def settle_run(folder: RunFolder, actuals: Actuals, *, now: datetime) -> SettledRun:
    """Book a run's rows and its counterfactual again at actual figures; ledger and record are replaced together.

    A run that was killed is read back first. Nothing is written where nothing is new. A replayed run stays as it is.

    :param actuals: actual readings of a span of time.
    :raises ArtifactError: no run's folder, a run that still goes on, or files that cannot be written.
    :raises MeasurementError: a ledger without any energy.
    """
    before = account_of(folder)
    if before.replay is not None:
        return SettledRun(folder=folder, before=before, after=before)
    rows = read_ledger(folder.ledger).rows
    evidence = _evidence(before, rows, actuals, folder, now)
    settled = settle_rows(rows, evidence.actuals, pue=before.pue, settled_at=now)
    paused = before.policy == "interruptible"
    at_submission = counterfactual(settled, before.submitted_at, evidence.at_submission, in_one_piece=paused)
    if settled == list(rows) and not _moved(before.counterfactual, at_submission):
        return SettledRun(folder=folder, before=before, after=before)
    with hold_ledger(
        folder.ledger
    ):  # only now: a provider may take its time, and an attempt that begins waits for the ledger
        _refuse_if_changed(folder, before)
        after = _write(folder, before, settled, at_submission or before.counterfactual, evidence)
    return SettledRun(folder=folder, before=before, after=after)


def _refuse_if_changed(folder: RunFolder, before: Account) -> None:
    # an attempt that goes on has forgotten the account, another settlement replaced it: its first booking must not be lost
    same = folder.record.exists() and load_account(folder, held=True) == before
    if not same or sha256_of(folder.ledger) != before.ledger_sha256:
        raise ArtifactError(f"{folder.path}: another process has just changed this run's account; settle it again")


def _evidence(
    account: Account, rows: Sequence[LedgerRow], actuals: Actuals, folder: RunFolder, now: datetime
) -> _Evidence:
    submitted, start, end = account.submitted_at, rows[0].start, rows[-1].end
    curve_end = submitted + (end - start)
    found = actuals(min(submitted, start), max(end, curve_end))
    sound = actual_readings(found, (account.signal_type, account.emission_factor_type), now=now)
    first = _readings_of(folder, account.counterfactual)
    return _Evidence(
        rows=rows,
        actuals=sound,
        at_submission=cover(submitted, curve_end, [lambda *_: sound, lambda *_: first]),
        now=now,
    )


def _readings_of(folder: RunFolder, booked: Counterfactual | None) -> list[Reading]:
    if booked is None or booked.readings_path is None:
        return []
    path = folder.path / Path(booked.readings_path).name  # the folder may have been moved since
    try:
        return [Reading.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); restore it, the record names its checksum") from None


def _moved(before: Counterfactual | None, after: Counterfactual | None) -> bool:
    if before is None or after is None:
        return after is not before and after is not None
    figures = before.emissions_gco2eq, after.emissions_gco2eq
    return before.intensity_kinds.keys() != after.intensity_kinds.keys() or not math.isclose(*figures, rel_tol=1e-9)


def _write(
    folder: RunFolder,
    before: Account,
    rows: list[LedgerRow],
    at_submission: Counterfactual | None,
    evidence: _Evidence,
) -> Account:
    stamp = f"{evidence.now:%Y%m%dT%H%M%SZ}"
    first = _first_booked(folder, before)
    used = _keep(folder.path / f"settled_readings-{stamp}.jsonl", evidence.actuals)
    if at_submission is not None and at_submission is not before.counterfactual:
        path = _keep(folder.path / f"submission_readings-{stamp}.jsonl", evidence.at_submission)
        at_submission = at_submission.model_copy(
            update={"readings_path": str(path), "readings_sha256": sha256_of(path)}
        )
    settlement = Settlement(
        settled_at=evidence.now,
        settled_energy_share=_share(rows, [row for row in rows if row.settled_at is not None]),
        sources=tuple(sorted({row.intensity_source for row in rows if row.settled_at is not None})),
        readings_path=str(used),
        readings_sha256=sha256_of(used),
        first_booked=first,
    )
    text = ledger_lines(folder.ledger, evidence.rows, rows)
    after = _account(before, rows, at_submission, settlement, text)
    replace_account(folder, text, after)
    return after


def _first_booked(folder: RunFolder, before: Account) -> FirstBooked:
    if before.settlement is not None:
        return before.settlement.first_booked
    path, checksum = keep_first_booking(folder)
    same = {name: getattr(before, name) for name in FirstBooked.model_fields if name not in ("ledger_path",)}
    return FirstBooked.model_validate({**same, "ledger_path": str(path), "ledger_sha256": checksum})


def _account(
    before: Account,
    rows: Sequence[LedgerRow],
    at_submission: Counterfactual | None,
    settlement: Settlement,
    ledger_text: str,
) -> Account:
    summary = summarise(rows)
    own = (before.signal_type, before.emission_factor_type)
    changes = {
        "schema_version": "1.1",
        "emissions_gco2eq": summary.emissions_gco2eq,
        "emissions_train_gco2eq": summary.train.emissions_gco2eq,
        "mean_carbon_intensity_gco2eq_per_kwh": summary.mean_carbon_intensity_gco2eq_per_kwh,
        "intensity_kinds": summary.intensity_kinds,
        "foreign_signal_share": foreign_share(rows, own),
        "counterfactual": at_submission,
        "settlement": settlement,
        "uncertainty": emissions_interval(rows, {str(part): how for part, how in before.energy_kwh.methods.items()}),
        "sci": rescored(before.sci, summary.emissions_gco2eq),
        "ledger_sha256": _sha256(ledger_text),
    }
    return type(before).model_validate({**dict(before), **changes})


def _share(rows: Sequence[LedgerRow], part: Sequence[LedgerRow]) -> float:
    return math.fsum(row.energy_kwh for row in part) / math.fsum(row.energy_kwh for row in rows)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _keep(path: Path, readings: Sequence[Reading]) -> Path:
    return write_atomically(path, "".join(json.dumps(reading.as_json()) + "\n" for reading in readings))
