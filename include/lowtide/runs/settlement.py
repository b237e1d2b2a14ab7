"""Settles a run: books it again where the grid's actual figures have arrived, and keeps what was booked first."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import ArtifactError, ConfigurationError, SignalError
from lowtide.grid.backfill import provider_key
from lowtide.grid.client import IntensityClient, LiveFeed
from lowtide.grid.history import HistoryStore, open_history
from lowtide.grid.series import cover
from lowtide.io import hold_ledger, sha256_of, write_atomically
from lowtide.records import Counterfactual, FirstBooked, IntensityKind, LedgerRow, Reading, Settlement, TrainingRecord
from lowtide.report.files import load_record
from lowtide.runs.account import (
    Account,
    account_of,
    foreign_share,
    keep_first_booking,
    ledger_lines,
    load_account,
    opening_details,
    replace_account,
)
from lowtide.runs.folder import RunFolder
from lowtide.tracker.emissions import actual_readings, counterfactual, rescored, settle_rows, summarise
from lowtide.tracker.ledger import read_ledger
from lowtide.tracker.uncertainty import emissions_interval

# Where the grid's actual figures come from: the stored history first, the provider for what it lacks.


ACTUAL = (IntensityKind.MEASURED, IntensityKind.ESTIMATED)
Actuals = Callable[[datetime, datetime], Sequence[Reading]]


@dataclass(slots=True, kw_only=True)
class ActualFigures:
    """Actual readings of any span, in time order without overlap; ``notes`` says what could not be asked.

    :param now: what has not ended by then is left out: the figure of an interval that still runs is a part of it.
    :param history: None to do without one.
    :param signal: None to ask nobody.
    """

    now: datetime
    history: HistoryStore | None = None
    signal: IntensityClient | None = None
    notes: list[str] = field(default_factory=list)

    def __call__(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what is known of ``[start, end)`` now."""
        kept = self.history.known_now(start, end) if self.history else ()
        known = cover(start, end, [lambda *_: self._over(kept)])
        if self.signal is None or _covers(known, start, end):
            return known
        return cover(start, end, [lambda *_: known, lambda *_: self._over(self._asked(start, end))])

    def _over(self, readings: Sequence[Reading]) -> list[Reading]:
        # before they are clipped to the span: an end that was clipped would look like one that has passed
        return [reading for reading in readings if reading.kind in ACTUAL and reading.end <= self.now]

    def _asked(self, start: datetime, end: datetime) -> Sequence[Reading]:
        if self.signal is None or not isinstance(self.signal.feed, LiveFeed):
            return ()  # a profile or a replay knows no actual figures
        try:
            return self.signal.feed.span(start, end)
        except SignalError as error:
            self.notes.append(f"{self.signal.provider_name} gave no actual figures: {error}")
            return ()


def _covers(readings: Sequence[Reading], start: datetime, end: datetime) -> bool:
    covered = sum(((r.end - r.start).total_seconds() for r in readings), 0.0)
    return covered >= (end - start).total_seconds()


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


# An XCom keeps what a run said when it ended; its folder may know better since.


def settled_record(record: TrainingRecord) -> TrainingRecord:
    """Return the settled record of the same run where its folder has one; else the record as it is.

    Only one that was settled from these very figures is taken: the folder may hold another training by now.
    """
    path = Path(record.ledger_path).with_name("record.json")
    try:
        found = load_record(path)
    except ArtifactError:  # gone, of a later training that was killed, or on another machine: the XCom stands
        return record
    if found.run_id != record.run_id or found.settlement is None:
        return record
    first = found.settlement.first_booked
    same = math.isclose(first.emissions_gco2eq, record.emissions_gco2eq, rel_tol=1e-12)
    return found if same and found.started_at == record.started_at else record


def is_record_of(path: Path, checksum: str) -> bool:
    """Whether a record's file has this checksum, or had it before it was settled.

    :raises OSError: the file cannot be read.
    """
    first = path.parent / "booked" / path.name
    return sha256_of(path) == checksum or (first.exists() and sha256_of(first) == checksum)


# Whom to ask for a run's actual figures: the grid that its ledger names, or one that a configuration names.


def grid_of(folder: RunFolder) -> GridConfig:
    """Return the grid that the run was booked at, as its ledger's opening says.

    :raises ArtifactError: the ledger is missing, or from before ledgers said so.
    """
    details = opening_details(read_ledger(folder.ledger))
    try:
        if details is not None:
            return GridConfig.model_validate(details["grid"])
    except (KeyError, ValidationError) as error:
        raise ArtifactError(f"{folder.ledger}: its opening line names no grid ({error}); give --config") from None
    raise ArtifactError(
        f"{folder.ledger}: does not say which grid it was booked at, since an older version wrote it; give --config"
    )


def history_of(signal: IntensityClient, artifacts_root: Path, connection: str | None) -> HistoryStore | None:
    """Return the stored history of a live signal; None where the signal is no live one."""
    feed = signal.feed
    if not isinstance(feed, LiveFeed):
        return None
    return open_history(artifacts_root, provider_key(feed.provider, signal.zone, connection))


def check_same_grid(account: Account, grid: GridConfig, signal: IntensityClient) -> None:
    """Check that a configuration's grid is the one that a run was booked at.

    :raises ConfigurationError: another zone, signal type or emission factor type.
    """
    mine = (account.zone, account.signal_type, account.emission_factor_type)
    theirs = (find_zone(grid.zone).key, signal.signal_type, signal.emission_factor_type)
    if mine != theirs:
        raise ConfigurationError(
            f"run {account.run_id!r} was booked at zone {mine[0]} ({mine[1].value}, {mine[2].value} factors), but the"
            f" configuration's grid is {theirs[0]} ({theirs[1].value}, {theirs[2].value} factors); give the run's own"
        )
