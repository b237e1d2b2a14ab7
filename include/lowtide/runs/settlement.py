"""Settles a run: appends the grid's actual figures to what is known, and derives the account again."""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lowtide.config.schema import GridConfig
from lowtide.config.zones import find_zone
from lowtide.errors import ArtifactError, ConfigurationError, SignalError
from lowtide.grid.backfill import provider_key
from lowtide.grid.client import IntensityClient, ProviderClient
from lowtide.grid.history import HistoryStore
from lowtide.grid.series import best_known, cover, gaps
from lowtide.io import hold_ledger, sha256_of
from lowtide.records import AnyRecord, Reading, TrainingRecord, load_record
from lowtide.runs.account import ACTUAL, Facts, account_of, derive
from lowtide.runs.folder import RunFolder
from lowtide.tracker.ledger import IntensityLog

# Where the grid's actual figures come from: the stored history first, the provider for what it lacks.


Actuals = Callable[[datetime, datetime], Sequence[Reading]]


@dataclass(slots=True, kw_only=True)
class ActualFigures:
    """Actual readings of any span, in time order without overlap; ``notes`` has the requests that failed.

    :param now: what has not ended by then is left out: the figure of an interval that has not ended covers only a part of it.
    :param history: None to do without one.
    :param signal: None to send no request.
    """

    now: datetime
    history: HistoryStore | None = None
    signal: IntensityClient | None = None
    notes: list[str] = field(default_factory=list)

    def __call__(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what is known of ``[start, end)`` now."""
        kept = self.history.known(start, end) if self.history else ()
        known = cover(start, end, [lambda *_: self._over(kept)])
        if self.signal is None or not gaps(((one.start, one.end) for one in known), start, end):
            return known
        return cover(start, end, [lambda *_: known, lambda *_: self._over(self._asked(start, end))])

    def _over(self, readings: Sequence[Reading]) -> list[Reading]:
        # before they are clipped to the span: an end that was clipped would look like one that has passed
        return [reading for reading in readings if reading.kind in ACTUAL and reading.end <= self.now]

    def _asked(self, start: datetime, end: datetime) -> Sequence[Reading]:
        if self.signal is None or not isinstance(self.signal.source, ProviderClient):
            return ()  # a profile or a replay knows no actual figures
        try:
            return self.signal.source.span(start, end)
        except SignalError as error:
            self.notes.append(f"{self.signal.provider.name} gave no actual figures: {error}")
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRun:
    """A run's account after a settlement; ``before`` is the same one where there was nothing new."""

    folder: RunFolder
    before: AnyRecord
    after: AnyRecord

    @property
    def changed(self) -> bool:
        """Whether anything is valued anew."""
        return self.before != self.after

    @property
    def unsettled_energy_share(self) -> float:
        """Share of the energy that is still valued at something else than an actual or replayed figure."""
        kinds = self.after.intensity_kinds
        return sum(share for kind, share in kinds.items() if kind not in (*ACTUAL, "replayed"))


def settle_run(folder: RunFolder, actuals: Actuals, *, now: datetime) -> SettledRun:
    """Append the actual figures of a run's hours and of those from its submission on, and derive its account again.

    A run that was killed is recovered first. Nothing is written where nothing is new. A replayed run stays as it is.

    :param actuals: actual readings of a span of time, in time order: ``ActualFigures``.
    :raises ArtifactError: no run's folder, a run that is still running, or files that cannot be written.
    :raises MeasurementError: a ledger without any energy.
    """
    before = account_of(folder)
    if before.replay is not None:
        return SettledRun(folder=folder, before=before, after=before)
    facts = Facts(folder)
    submitted, start, end = facts.details.submitted_at, facts.rows[0].start, facts.rows[-1].end
    readings = actuals(min(submitted, start), max(end, submitted + (end - start)))
    found = _better([reading for reading in readings if reading.meaning == facts.meaning], facts)
    # only now: a provider may take its time, and an attempt that begins waits for the ledger
    with hold_ledger(folder.ledger):
        if not folder.record.exists() or sha256_of(folder.ledger) != before.ledger_sha256:
            raise ArtifactError(f"{folder.path}: another process has just changed this run's account; settle it again")
        IntensityLog(folder.path).append(found, now)  # also cuts off the half line of a settlement that was killed
        after = derive(folder)
    return SettledRun(folder=folder, before=before, after=after)


def _better(readings: Sequence[Reading], facts: Facts) -> list[Reading]:
    """Return the readings that are new or better for a part of their time."""
    steps = [entry.reading for entry in best_known(facts.entries, meaning=facts.meaning)]
    starts = [step.start for step in steps]
    better = []
    for reading in readings:
        first = max(0, bisect_right(starts, reading.start) - 1)
        near = [step for step in steps[first : bisect_left(starts, reading.end)] if step.end > reading.start]
        covered = not gaps(((step.start, step.end) for step in near), reading.start, reading.end)
        if not (covered and all(_is_as_good(step, reading) for step in near)):
            better.append(reading)
    return better


def _is_as_good(known: Reading, reading: Reading) -> bool:
    if known.kind in ACTUAL and ACTUAL.index(known.kind) < ACTUAL.index(reading.kind):
        return True
    figures = (known.kind, known.carbon_intensity_gco2eq_per_kwh, known.source)
    return figures == (reading.kind, reading.carbon_intensity_gco2eq_per_kwh, reading.source)


# An XCom keeps the record as it was when the run ended; its folder may have a settled one.


def settled_record(record: TrainingRecord) -> TrainingRecord:
    """Return the record of the same training as its folder has it now; else the record as it is."""
    path = Path(record.ledger_path).with_name("record.json")
    try:
        found = load_record(path)
    except ArtifactError:  # gone, of a later training that was killed, or on another machine: the XCom counts
        return record
    return found if facts_sha256(found) == facts_sha256(record) else record


_FACTS = {
    *("run_id", "ledger_sha256", "samples", "optimizer_steps", "test_accuracy", "peak_memory_bytes"),
    "first_valuation",
}


def facts_sha256(record: TrainingRecord) -> str:
    """Return a checksum of a record's facts: what a later valuation does not change."""
    return hashlib.sha256(record.model_dump_json(include=_FACTS).encode()).hexdigest()


# The grid of a run, and the stored history of it.


def history_of(signal: IntensityClient, artifacts_root: Path, connection: str | None) -> HistoryStore | None:
    """Return the stored history of a live signal; None of a signal that is not live."""
    client = signal.source
    if not isinstance(client, ProviderClient):
        return None
    return HistoryStore(artifacts_root, provider_key(client.provider, signal.zone, connection))


def check_same_grid(account: AnyRecord, grid: GridConfig, signal: IntensityClient) -> None:
    """Check that a configuration's grid is the one that a run was valued at.

    :raises ConfigurationError: another zone, signal type or emission factor type.
    """
    mine = (account.zone, account.signal_type, account.emission_factor_type)
    theirs = (find_zone(grid.zone).key, *signal.meaning)
    if mine != theirs:
        raise ConfigurationError(
            f"run {account.run_id!r} was valued at zone {mine[0]} ({mine[1].value}, {mine[2].value} factors), but the"
            f" configuration's grid is {theirs[0]} ({theirs[1].value}, {theirs[2].value} factors); give the run's own"
        )
