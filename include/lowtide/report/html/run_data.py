"""What a run's folder holds beside its figures; a file that cannot be read is a problem on the page, the rest is shown."""

import csv
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from sys import intern
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lowtide.grid.series import best_known, gaps
from lowtide.io import sha256_of
from lowtide.records import Reading, RecordedDecision, TrainingRecord, decision_files, read_decisions, read_intensity
from lowtide.report.model import RunFigures
from lowtide.timeutil import parse_time

Floats = npt.NDArray[np.float64]
Activity = Literal["waiting", "running", "paused", "interrupted"]

_FIGURES = ("attempt", "energy_kwh", "carbon_intensity_gco2eq_per_kwh", "emissions_gco2eq")
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MOST_STEPS = 700
_PAUSE_LEAD = timedelta(minutes=20)
"""A pause is decided this long, at most, before the last row of the checkpoint that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerColumns:
    """Valued rows in the order of time, as columns: a day of 5-second rows is drawn and summed without an object a row.

    Times are UNIX seconds, virtual under replay; energy is kWh before PUE. ``skipped``: lines that are not rows.
    """

    start_s: Floats
    end_s: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    carbon_intensity_gco2eq_per_kwh: Floats
    attempt: npt.NDArray[np.int64]
    kinds: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: int

    def __len__(self) -> int:
        return len(self.start_s)


def read_columns(path: Path) -> LedgerColumns | None:
    """Read the rows of a run's ``emissions.csv``; None where there are none. Lines that are not rows are counted, not guessed at.

    :raises OSError: the file cannot be read.
    """
    numbers, texts, skipped = array("d"), [], 0  # six numbers and two references a row: a month has half a million
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for data in csv.DictReader(file):
            try:
                row = _row(data)
                texts.append((intern(data["kind"]), intern(data["source"])))
            except (ValueError, KeyError, TypeError):
                skipped += 1
                continue
            numbers.extend(row)
    if not texts:
        return None
    table = np.frombuffer(numbers, dtype=np.float64).reshape(len(texts), -1)
    order = np.argsort(table[:, 0], kind="stable")
    start_s, end_s, attempt, energy_kwh, intensity, emissions = table[order].T
    kinds, sources = zip(*(texts[i] for i in order), strict=True)
    return LedgerColumns(
        start_s=start_s,
        end_s=end_s,
        attempt=attempt.astype(np.int64),
        energy_kwh=energy_kwh,
        carbon_intensity_gco2eq_per_kwh=intensity,
        emissions_gco2eq=emissions,
        kinds=kinds,
        sources=sources,
        skipped=skipped,
    )


def _row(data: Mapping[str, str]) -> tuple[float, ...]:
    start_s, end_s = (parse_time(data[name]).timestamp() for name in ("start", "end"))
    figures = tuple(float(data[name] or "0") for name in _FIGURES)  # empty: no intensity is known
    if not (start_s < end_s and all(0 <= figure < np.inf for figure in figures)):
        raise ValueError("a row ends after it starts, and its figures are finite and >= 0")
    return (start_s, end_s, *figures)


# Fewer points than rows: bins of time that together hold exactly what the rows hold.


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Per bin: energy in kWh before PUE, grams, and seconds that rows cover; ``edges_s`` has one entry more."""

    edges_s: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    covered_s: Floats

    @property
    def power_w(self) -> Floats:
        """Mean power while rows cover the bin; NaN where none does."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.covered_s > 0, 3.6e6 * self.energy_kwh / self.covered_s, np.nan)

    @property
    def cumulative_gco2eq(self) -> Floats:
        """Grams until each edge."""
        return np.concatenate(([0.0], np.cumsum(self.emissions_gco2eq)))


def nice_width_s(span_s: float, most: int) -> float:
    """Return the shortest width, in seconds, that people count in and of which at most so many cover a span."""
    wanted = span_s / most
    for width in _WIDTHS_S:
        if width >= wanted:
            return float(width)
    return float(86_400 * np.ceil(wanted / 86_400))


def edges_of(begin_s: float, end_s: float, width_s: float) -> Floats:
    """Return whole multiples of a width that enclose a span; at least one bin."""
    first = np.floor(begin_s / width_s)
    last = max(np.ceil(end_s / width_s), first + 1)
    return width_s * np.arange(first, last + 1)


def binned(rows: LedgerColumns, edges_s: Floats) -> Bins:
    """Return what the rows hold between edges that enclose them.

    A row that meets an edge is divided by time. What is in the bins is read from the cumulative curves at the edges, so
    the bins' sum is the rows' sum, whatever the width.
    """
    times = np.empty(2 * len(rows))
    times[0::2], times[1::2] = rows.start_s, rows.end_s
    times = np.maximum.accumulate(times)  # a clock that was set must not make the curve run backwards
    energy, grams, covered = (
        np.diff(np.interp(edges_s, times, _rising(amounts)))
        for amounts in (rows.energy_kwh, rows.emissions_gco2eq, rows.end_s - rows.start_s)
    )
    return Bins(edges_s=edges_s, energy_kwh=energy, emissions_gco2eq=grams, covered_s=covered)


def since_start(rows: LedgerColumns, speed: float) -> LedgerColumns:
    """Return the rows in real seconds since the first of them began.

    :param speed: seconds of the rows' time in a real second; a replayed run's power would otherwise be that much too low.
    """
    begin = rows.start_s[0]
    return replace(rows, start_s=(rows.start_s - begin) / speed, end_s=(rows.end_s - begin) / speed)


def _rising(amounts: Floats) -> Floats:
    """Return the running sum at the rows' starts and ends: it rises along each row and is flat between two."""
    return np.concatenate(([0.0], np.repeat(np.cumsum(amounts), 2)))[:-1]


# The files of a run's folder.


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A file that figures follow from; ``checked``: its checksum is the recorded one, None = none was recorded."""

    what: str
    path: str
    sha256: str | None
    checked: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one run; without its folder everything is empty, and ``problems`` says so."""

    record: TrainingRecord | None = None
    rows: LedgerColumns | None = None
    decisions: tuple[RecordedDecision, ...] = ()
    at_submission: tuple[Reading, ...] = ()
    files: tuple[EvidenceFile, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """Seconds of the ledger's time in a real second: 1 unless the run was replayed."""
        return self.record.replay.speed if self.record is not None and self.record.replay is not None else 1.0

    @property
    def seen(self) -> tuple[Reading, ...]:
        """The readings that the decisions rest on."""
        return tuple(decision.reading for decision in self.decisions if decision.reading is not None)


def gather(run: RunFigures, folder: Path | None = None) -> Evidence:
    """Read what is beside a run's ledger, or in ``folder`` where the run was moved since.

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
    table = folder / "emissions.csv"
    rows = read_columns(table) if table.exists() else None
    decisions, problems = read_decisions(*decision_files(folder))
    if rows is None:
        problems.append(f"its table {table} is missing or has no rows; settle the run to derive it again")
    elif rows.skipped:
        problems.append(f"{rows.skipped} lines of {table} are not rows and are left out")
    record = _record(folder / "record.json", run, problems)
    entries, unreadable = read_intensity(folder)
    known = best_known(entries, meaning=(run.signal_type, run.emission_factor_type))
    return Evidence(
        record=record,
        rows=rows,
        decisions=tuple(decisions),
        at_submission=tuple(entry.reading for entry in known),
        files=files,
        problems=(*problems, *unreadable),
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


def _files(run: RunFigures, folder: Path, ledger_sha256: str | None) -> tuple[EvidenceFile, ...]:
    checked = None if ledger_sha256 is None else ledger_sha256 == run.ledger_sha256
    ledger = EvidenceFile(what="ledger", path=run.ledger_path, sha256=run.ledger_sha256, checked=checked)
    beside = Path(run.ledger_path)
    found: list[EvidenceFile | None] = [ledger]
    names = {
        "record": "record.json",
        "intensities": "intensity.jsonl",
        "valued energy": "emissions.csv",
        "decisions": "decisions.jsonl",
    }
    found += [_file(what, beside.with_name(name), folder) for what, name in names.items()]
    *of_the_run, _ = decision_files(folder)
    found += [_file("decisions of the run", path, path.parent) for path in of_the_run]
    return tuple(file for file in found if file is not None)


def _file(what: str, path: Path, folder: Path) -> EvidenceFile | None:
    """Return a file of which no checksum is recorded, with the one it has now; None where it cannot be read."""
    try:
        return EvidenceFile(what=what, path=str(path), sha256=sha256_of(folder / path.name), checked=None)
    except OSError:
        return None


# When a run waited, ran and paused, and what the grid emitted meanwhile, from its ledger and its decisions.


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From ``start_s`` to ``end_s`` in UNIX seconds, virtual under replay."""

    activity: Activity
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One intensity, in g/kWh, over a stretch of time."""

    start_s: float
    end_s: float
    carbon_intensity_gco2eq_per_kwh: float
    kind: str


def activities(run: RunFigures, evidence: Evidence) -> tuple[Span, ...]:
    """Return what the run did from submission to its end, in order and without a gap."""
    submitted, started, ended = (at.timestamp() for at in (run.submitted_at, run.started_at, run.ended_at))
    spans = [Span(activity="waiting", start_s=submitted, end_s=started)] if started > submitted else []
    begin = started
    for start, end in _stops(evidence.rows):
        spans.append(Span(activity="running", start_s=begin, end_s=start))
        spans.append(Span(activity=_why(start, end, evidence.decisions), start_s=start, end_s=end))
        begin = end
    return (*spans, Span(activity="running", start_s=begin, end_s=max(begin, ended)))


def total_s(spans: Iterable[Span], *wanted: Activity) -> float:
    """Return how long an activity took."""
    return sum(span.end_s - span.start_s for span in spans if span.activity in wanted)


def intensity_steps(evidence: Evidence) -> tuple[Step, ...]:
    """Return the grid's intensity from submission to end.

    The sources overlap: what the rows are valued at comes first, then the readings from submission on, then what the
    decisions saw.
    """
    known: list[Step] = []
    for source in (_valued(evidence.rows), _steps_of(evidence.at_submission), _steps_of(evidence.seen)):
        spans = [(step.start_s, step.end_s) for step in known]
        known += [
            replace(step, start_s=begin, end_s=end)
            for step in source
            for begin, end in gaps(spans, step.start_s, step.end_s)
        ]
        known.sort(key=lambda step: step.start_s)
    return tuple(known)


def _stops(rows: LedgerColumns | None) -> Iterator[tuple[float, float]]:
    if rows is None:
        return
    for i in np.flatnonzero((np.diff(rows.attempt) != 0) & (rows.start_s[1:] > rows.end_s[:-1])):
        yield float(rows.end_s[i]), float(rows.start_s[i + 1])


def _why(start_s: float, end_s: float, decisions: Sequence[RecordedDecision]) -> Activity:
    earliest_s = start_s - _PAUSE_LEAD.total_seconds()
    waits = (decision.decided_at.timestamp() for decision in decisions if decision.action in ("pause", "wait"))
    return "paused" if any(earliest_s <= at < end_s for at in waits) else "interrupted"


def _valued(rows: LedgerColumns | None) -> list[Step]:
    if rows is None:
        return []
    values, kinds = rows.carbon_intensity_gco2eq_per_kwh, np.array(rows.kinds)
    apart = rows.start_s[1:] > rows.end_s[:-1] + 1.0
    firsts = np.flatnonzero(np.concatenate(([True], (np.diff(values) != 0) | (kinds[1:] != kinds[:-1]) | apart)))
    if len(firsts) > _MOST_STEPS:
        return _averaged(rows, kinds)
    lasts = np.append(firsts[1:], len(rows)) - 1
    return _steps(rows.start_s[firsts], rows.end_s[lasts], values[firsts], kinds[firsts])


def _averaged(rows: LedgerColumns, kinds: npt.NDArray[np.str_]) -> list[Step]:
    """Return, for weeks of five-minute figures, each bin's mean intensity by energy and the kind at its start."""
    begin, end = float(rows.start_s[0]), float(rows.end_s.max())
    edges = edges_of(begin, end, nice_width_s(end - begin, _MOST_STEPS))
    weighted = replace(rows, emissions_gco2eq=rows.energy_kwh * rows.carbon_intensity_gco2eq_per_kwh)  # without PUE
    bins = binned(weighted, edges)
    used = np.flatnonzero(bins.energy_kwh > 0)
    first_rows = np.minimum(np.searchsorted(rows.start_s, edges[used]), len(rows) - 1)
    means = bins.emissions_gco2eq[used] / bins.energy_kwh[used]
    return _steps(edges[used], edges[used + 1], means, kinds[first_rows])


def _steps(starts_s: Floats, ends_s: Floats, values: Floats, kinds: npt.NDArray[np.str_]) -> list[Step]:
    columns = (starts_s.tolist(), ends_s.tolist(), values.tolist(), kinds.tolist())
    return [
        Step(start_s=start, end_s=end, carbon_intensity_gco2eq_per_kwh=value, kind=kind)
        for start, end, value, kind in zip(*columns, strict=True)
    ]


def _steps_of(readings: Sequence[Reading]) -> list[Step]:
    newest_last = {reading.start: reading for reading in readings}  # a later decision knows an interval better
    return [
        Step(
            start_s=reading.start.timestamp(),
            end_s=reading.end.timestamp(),
            carbon_intensity_gco2eq_per_kwh=reading.carbon_intensity_gco2eq_per_kwh,
            kind=reading.kind.value,
        )
        for _, reading in sorted(newest_last.items())
    ]
