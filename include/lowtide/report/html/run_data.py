"""What a run's folder holds beside its figures; a file that cannot be read is a problem on the page, the rest is shown."""

import csv
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lowtide.grid.series import best_known, cover
from lowtide.io import sha256_of
from lowtide.records import Reading, RecordedDecision, TrainingRecord, decision_files, read_decisions, read_intensity
from lowtide.timeutil import parse_time
from lowtide.units import duration_text

Floats = npt.NDArray[np.float64]
Activity = Literal["waiting", "running", "paused", "interrupted"]

_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MOST_LEVELS = 700
_PAUSE_LEAD = timedelta(minutes=20)
"""A pause is decided this long, at most, before the last row of the checkpoint that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerColumns:
    """Valued rows in the order of time, as columns: a day of 5-second rows is drawn and summed without an object a row.

    Times are UNIX seconds, virtual under replay; energy is kWh before PUE. ``skipped``: lines that are not rows.
    """

    start_s: Floats
    end_s: Floats
    attempt: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.start_s)


def read_columns(path: Path) -> LedgerColumns | None:
    """Read the rows of a run's ``emissions.csv``; None where there are none. Lines that are not rows are counted, not guessed at.

    :raises OSError: the file cannot be read.
    """
    numbers, skipped = array("d"), 0  # five numbers a row: a month has half a million
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for data in csv.DictReader(file):
            try:
                numbers.extend(_row(data))
            except (ValueError, KeyError, TypeError):
                skipped += 1
    if not numbers:
        return None
    table = np.frombuffer(numbers, dtype=np.float64).reshape(-1, 5)
    start_s, end_s, attempt, kwh, grams = table[np.argsort(table[:, 0], kind="stable")].T
    return LedgerColumns(
        start_s=start_s, end_s=end_s, attempt=attempt, energy_kwh=kwh, emissions_gco2eq=grams, skipped=skipped
    )


def _row(data: Mapping[str, str]) -> tuple[float, ...]:
    start_s, end_s = (parse_time(data[name]).timestamp() for name in ("start", "end"))
    # empty: no intensity is known
    figures = tuple(float(data[name] or "0") for name in ("attempt", "energy_kwh", "emissions_gco2eq"))
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
        return 3.6e6 * _quotient(self.energy_kwh, self.covered_s)

    @property
    def cumulative_gco2eq(self) -> Floats:
        """Grams until each edge."""
        return np.concatenate(([0.0], np.cumsum(self.emissions_gco2eq)))


def nice_width_s(span_s: float, most: int) -> float:
    """Return the shortest width, in seconds, that people count in and of which at most so many cover a span."""
    wanted = span_s / most
    return float(next((width for width in _WIDTHS_S if width >= wanted), 86_400 * np.ceil(wanted / 86_400)))


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
    amounts = (rows.energy_kwh, rows.emissions_gco2eq, rows.end_s - rows.start_s)
    energy, grams, covered = _divided(rows.start_s, rows.end_s, edges_s, *amounts)
    return Bins(edges_s=edges_s, energy_kwh=energy, emissions_gco2eq=grams, covered_s=covered)


def _divided(start_s: Floats, end_s: Floats, edges_s: Floats, *amounts: Floats) -> list[Floats]:
    """Return between edges what amounts come to that are even over the stretches of time in which they are."""
    times = np.maximum.accumulate(np.stack((start_s, end_s), axis=1).ravel())  # also of a clock that was set back
    # the running sum at each start and end: it rises along a stretch and is flat between two
    sums = (np.concatenate(([0.0], np.repeat(np.cumsum(amount), 2)))[:-1] for amount in amounts)
    return [np.diff(np.interp(edges_s, times, rising)) for rising in sums]


def _quotient(amounts: Floats, lengths_s: Floats) -> Floats:
    """Return amounts a second; NaN where the length is zero."""
    return np.divide(amounts, lengths_s, out=np.full_like(amounts, np.nan), where=lengths_s > 0)


def since_start(rows: LedgerColumns, speed: float) -> LedgerColumns:
    """Return the rows in real seconds since the first of them began.

    :param speed: seconds of the rows' time in a real second; a replayed run's power would otherwise be that much too low.
    """
    begin = rows.start_s[0]
    return replace(rows, start_s=(rows.start_s - begin) / speed, end_s=(rows.end_s - begin) / speed)


# The files of a run's folder.


class EvidenceFile(NamedTuple):
    """A file that figures follow from; ``checked``: its checksum is the recorded one, None = none was recorded."""

    what: str
    path: str
    sha256: str
    checked: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one run; without its folder everything is empty, and ``problems`` says so.

    ``readings``: the grid from submission on, best known, in time order without overlap; the rows are valued at it.
    ``speed``: seconds of the ledger's time in a real second, 1 unless the run was replayed.
    """

    speed: float = 1.0
    rows: LedgerColumns | None = None
    decisions: tuple[RecordedDecision, ...] = ()
    readings: tuple[Reading, ...] = ()
    files: tuple[EvidenceFile, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple[Reading, ...]:
        """The readings that the decisions rest on."""
        return tuple(decision.reading for decision in self.decisions if decision.reading is not None)


def gather(run: TrainingRecord, folder: Path | None = None) -> Evidence:
    """Read what is beside a run's ledger, or in ``folder`` where the run was moved since.

    Only a ledger with the recorded checksum is drawn: a page must not show one run's curve under another one's figures.
    """
    folder = folder or Path(run.ledger_path).parent
    ledger = folder / "ledger.jsonl"
    try:
        found, why = sha256_of(ledger), "has changed since the record was written"
    except OSError as error:
        found, why = None, f"cannot be read here ({error.strerror or error})"
    files = _files(run, folder, found)
    if found != run.ledger_sha256:
        return Evidence(files=files, problems=(f"its ledger {ledger} {why}",))
    table = folder / "emissions.csv"
    rows = read_columns(table) if table.exists() else None
    decisions, problems = read_decisions(*decision_files(folder))
    if rows is None:
        problems.append(f"its table {table} is missing or has no rows; settle the run to derive it again")
    elif rows.skipped:
        problems.append(f"{rows.skipped} lines of {table} are not rows and are left out")
    entries, unreadable = read_intensity(folder)
    known = best_known(entries, meaning=(run.signal_type, run.emission_factor_type))
    return Evidence(
        speed=run.replay.speed if run.replay else 1.0,
        rows=rows,
        decisions=tuple(decisions),
        readings=tuple(entry.reading for entry in known),
        files=files,
        problems=(*problems, *unreadable),
    )


def _files(run: TrainingRecord, folder: Path, ledger_sha256: str | None) -> tuple[EvidenceFile, ...]:
    """Return the ledger and what is beside it; of the latter no checksum is recorded, so it is given as it is now."""
    checked = None if ledger_sha256 is None else ledger_sha256 == run.ledger_sha256
    found = [EvidenceFile("ledger", run.ledger_path, run.ledger_sha256, checked)]
    names = ("record.json", "intensity.jsonl", "emissions.csv", "decisions.jsonl")
    beside = zip(("record", "intensities", "valued energy", "decisions"), names, strict=True)
    paths = [(what, Path(run.ledger_path).with_name(name), folder / name) for what, name in beside]
    paths += [("decisions of the run", path, path) for path in decision_files(folder)[:-1]]
    for what, shown, path in paths:
        with suppress(OSError):  # a file that is not there has no row
            found.append(EvidenceFile(what, str(shown), sha256_of(path), None))
    return tuple(found)


# When a run waited, ran and paused, and what the grid emitted meanwhile, from its ledger and its decisions.


class Span(NamedTuple):
    """What a run did from ``start_s`` to ``end_s``, in UNIX seconds, virtual under replay."""

    activity: Activity
    start_s: float
    end_s: float


class Level(NamedTuple):
    """An intensity in g/kWh from ``start_s`` to ``end_s``; ``name`` is the kind of the grid's, or says whose mean it is."""

    name: str
    start_s: float
    end_s: float
    carbon_intensity_gco2eq_per_kwh: float


def activities(run: TrainingRecord, evidence: Evidence) -> tuple[Span, ...]:
    """Return what the run did from submission to its end, in order and without a gap."""
    submitted, started, ended = (at.timestamp() for at in (run.submitted_at, run.started_at, run.ended_at))
    spans = [Span("waiting", submitted, started)] if started > submitted else []
    begin = started
    for start, end in _stops(evidence.rows):
        spans += [Span("running", begin, start), Span(_why(start, end, evidence.decisions), start, end)]
        begin = end
    return (*spans, Span("running", begin, max(begin, ended)))


def total_s(spans: Iterable[Span], *wanted: Activity) -> float:
    """Return how long an activity took."""
    return sum(span.end_s - span.start_s for span in spans if span.activity in wanted)


def done_text(spans: Sequence[Span]) -> str:
    """Write how long each activity took."""
    done = dict.fromkeys(span.activity for span in spans)
    return ", ".join(f"{activity} {duration_text(total_s(spans, activity))}" for activity in done)


def intensity_levels(evidence: Evidence, begin_s: float, end_s: float) -> list[Level]:
    """Return the grid's intensity over a time: as it is known, and where it is not, as the latest decision saw it.

    Of weeks of five-minute figures only the means over time of so many stretches are drawn.
    """
    begin, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (begin_s, end_s))
    levels = [
        Level(one.kind.value, one.start.timestamp(), one.end.timestamp(), one.carbon_intensity_gco2eq_per_kwh)
        for one in cover(begin, end, (lambda *_: evidence.readings, lambda *_: evidence.seen[::-1]))
    ]
    return levels if len(levels) <= _MOST_LEVELS else _averaged(levels)


def mean_levels(levels: Sequence[Level], edges_s: Floats) -> Floats:
    """Return the mean intensity between edges in g/kWh, over the time for which it is known; NaN where it is not."""
    starts_s, ends_s, values = (np.array(column) for column in list(zip(*levels, strict=True))[1:])
    lengths_s = ends_s - starts_s
    known_s, sums = _divided(starts_s, ends_s, edges_s, lengths_s, lengths_s * values)
    return _quotient(sums, known_s)


def _averaged(levels: Sequence[Level]) -> list[Level]:
    begin_s, end_s = levels[0].start_s, levels[-1].end_s
    edges = edges_of(begin_s, end_s, nice_width_s(end_s - begin_s, _MOST_LEVELS))
    firsts = np.searchsorted([level.end_s for level in levels], edges[:-1], side="right")
    means = zip(firsts, edges.tolist(), edges[1:].tolist(), mean_levels(levels, edges), strict=False)
    return [Level(levels[first].name, start, end, mean) for first, start, end, mean in means if not np.isnan(mean)]


def _stops(rows: LedgerColumns | None) -> Iterator[tuple[float, float]]:
    if rows is None:
        return
    for i in np.flatnonzero((np.diff(rows.attempt) != 0) & (rows.start_s[1:] > rows.end_s[:-1])):
        yield float(rows.end_s[i]), float(rows.start_s[i + 1])


def _why(start_s: float, end_s: float, decisions: Sequence[RecordedDecision]) -> Activity:
    earliest_s = start_s - _PAUSE_LEAD.total_seconds()
    waits = (decision.decided_at.timestamp() for decision in decisions if decision.action in ("pause", "wait"))
    return "paused" if any(earliest_s <= at < end_s for at in waits) else "interrupted"
