"""What a run's folder holds beside its figures; whatever cannot be read is said on the page, and the rest is shown."""

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lowtide.errors import InvalidAnswer
from lowtide.io import objects, sha256_of
from lowtide.records import Reading, TrainingRecord, decision_files
from lowtide.report.model import RunFigures
from lowtide.timeutil import parse_moment

# A ledger's rows as columns of numbers: a day of 5-second rows is drawn and summed without an object a row.


Floats = npt.NDArray[np.float64]

_FIGURES = ("energy_kwh", "carbon_intensity_gco2eq_per_kwh", "emissions_gco2eq")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerColumns:
    """Rows in the order of time; moments are UNIX seconds, virtual under replay; energy is kWh before PUE."""

    start_s: Floats
    end_s: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    carbon_intensity_gco2eq_per_kwh: Floats
    attempt: npt.NDArray[np.int64]
    kinds: tuple[str, ...]
    sources: tuple[str, ...]
    passed_over: int

    def __len__(self) -> int:
        return len(self.start_s)


def read_columns(path: Path) -> LedgerColumns | None:
    """Read the rows of a run's ``emissions.csv``; None where there are none. Lines that are not rows are counted, not guessed at.

    :raises OSError: the file cannot be read.
    """
    reader = _Reader()
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for data in csv.DictReader(file):
            reader.take(data)
    return reader.columns() if reader.texts else None


class _Reader:
    """Keeps six numbers and one reference a row: a month has half a million."""

    def __init__(self) -> None:
        self.figures = array("d")
        self.texts: list[tuple[str, str]] = []
        self.passed_over = 0
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def take(self, data: dict[str, str]) -> None:
        try:
            figures = (float(data[name] or "0") for name in _FIGURES)  # empty: no intensity is known
            row = (*_moments(data), int(data["attempt"]), *figures)
            texts = (data["kind"], data["source"])
        except (ValueError, KeyError, TypeError):
            self.passed_over += 1
            return
        if row[0] < row[1] and all(0 <= figure < np.inf for figure in row[3:]):
            self.figures.extend(row)
            self.texts.append(self._known.setdefault(texts, texts))
        else:
            self.passed_over += 1

    def columns(self) -> LedgerColumns:
        table = np.frombuffer(self.figures, dtype=np.float64).reshape(len(self.texts), -1)
        order = np.argsort(table[:, 0], kind="stable")
        table = table[order]
        kinds, sources = zip(*(self.texts[i] for i in order), strict=True)
        return LedgerColumns(
            start_s=table[:, 0],
            end_s=table[:, 1],
            attempt=table[:, 2].astype(np.int64),
            energy_kwh=table[:, 3],
            carbon_intensity_gco2eq_per_kwh=table[:, 4],
            emissions_gco2eq=table[:, 5],
            kinds=kinds,
            sources=sources,
            passed_over=self.passed_over,
        )


def _moments(data: dict[str, Any]) -> Iterator[float]:
    yield parse_moment(data["start"]).timestamp()
    yield parse_moment(data["end"]).timestamp()


# Fewer points than rows: bins of time that together hold exactly what the rows hold.


_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


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
    """Return the shortest width, in seconds, that people count in and of which so many cover a span at most."""
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
    moments = np.empty(2 * len(rows))
    moments[0::2], moments[1::2] = rows.start_s, rows.end_s
    moments = np.maximum.accumulate(moments)  # a clock that was set must not make the curve run backwards
    energy, grams, covered = (
        np.diff(np.interp(edges_s, moments, _rising(amounts)))
        for amounts in (rows.energy_kwh, rows.emissions_gco2eq, rows.end_s - rows.start_s)
    )
    return Bins(edges_s=edges_s, energy_kwh=energy, emissions_gco2eq=grams, covered_s=covered)


def since_start(rows: LedgerColumns, speed: float) -> LedgerColumns:
    """Return the rows in real seconds since the first of them began.

    :param speed: seconds of the rows' time in a real second; a replayed run's power would else be that much too low.
    """
    begin = rows.start_s[0]
    return replace(rows, start_s=(rows.start_s - begin) / speed, end_s=(rows.end_s - begin) / speed)


def _rising(amounts: Floats) -> Floats:
    """Return the running sum at the rows' starts and ends: it rises along each row and is flat between two."""
    return np.concatenate(([0.0], np.repeat(np.cumsum(amounts), 2)))[:-1]


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
    return _read(run, folder, files)


def _read(run: RunFigures, folder: Path, files: tuple[EvidenceFile, ...]) -> Evidence:
    problems: list[str] = []
    table = folder / "emissions.csv"
    rows = read_columns(table) if table.exists() else None
    if rows is None:
        problems.append(f"its table {table} is missing or has no rows; settle the run to derive it again")
    elif rows.passed_over:
        problems.append(f"{rows.passed_over} lines of {table} are not rows and are left out")
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
    readings = run.counterfactual
    if readings is not None and readings.readings_path is not None:
        found.append(_file("readings from submission on", readings.readings_path, readings.readings_sha256, folder))
    beside = Path(run.ledger_path)
    for what, name in (
        ("record", "record.json"),
        ("intensities", "intensity.jsonl"),
        ("valued energy", "emissions.csv"),
        ("decisions", "decisions.jsonl"),
    ):
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


# When a run waited, ran and paused, and what the grid emitted meanwhile, from its ledger and its decisions.


Activity = Literal["waiting", "running", "paused", "interrupted"]
_MOST_STEPS = 700
_PAUSE_LEAD = timedelta(minutes=20)
"""A pause is decided this long, at most, before the last row of the checkpoint that follows."""


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
    submitted, started, ended = (m.timestamp() for m in (run.submitted_at, run.started_at, run.ended_at))
    spans = [Span(activity="waiting", start_s=submitted, end_s=started)] if started > submitted else []
    begin = started
    for start, end in _gaps(evidence.rows):
        spans.append(Span(activity="running", start_s=begin, end_s=start))
        spans.append(Span(activity=_why(start, end, evidence.looks), start_s=start, end_s=end))
        begin = end
    return (*spans, Span(activity="running", start_s=begin, end_s=max(begin, ended)))


def total_s(spans: Iterable[Span], *wanted: Activity) -> float:
    """Return how long an activity took."""
    return sum(span.end_s - span.start_s for span in spans if span.activity in wanted)


def intensity_steps(evidence: Evidence) -> tuple[Step, ...]:
    """Return the grid's intensity from submission to end: what rows were booked at, else what was read or looked up.

    The three overlap: the ledger stands first, then the readings from submission on, then what the looks of the wait saw.
    """
    known: list[Step] = []
    for source in (_booked(evidence.rows), _of(evidence.at_submission), _of(evidence.seen)):
        known = [*known, *_uncovered(source, sorted(known, key=lambda step: step.start_s))]
    return tuple(_joined(sorted(known, key=lambda step: step.start_s)))


def _gaps(rows: LedgerColumns | None) -> Iterator[tuple[float, float]]:
    if rows is None:
        return
    for i in np.flatnonzero((np.diff(rows.attempt) != 0) & (rows.start_s[1:] > rows.end_s[:-1])):
        yield float(rows.end_s[i]), float(rows.start_s[i + 1])


def _why(start_s: float, end_s: float, looks: Sequence[Look]) -> Activity:
    lead_s = _PAUSE_LEAD.total_seconds()
    waits = (look.at.timestamp() for look in looks if look.action in ("pause", "wait"))
    return "paused" if any(start_s - lead_s <= at < end_s for at in waits) else "interrupted"


def _booked(rows: LedgerColumns | None) -> list[Step]:
    if rows is None:
        return []
    values, kinds = rows.carbon_intensity_gco2eq_per_kwh, np.array(rows.kinds)
    apart = rows.start_s[1:] > rows.end_s[:-1] + 1.0
    firsts = np.flatnonzero(np.concatenate(([True], (np.diff(values) != 0) | (kinds[1:] != kinds[:-1]) | apart)))
    if len(firsts) > _MOST_STEPS:
        return _averaged(rows)
    lasts = np.append(firsts[1:], len(rows)) - 1
    return [
        _step(float(rows.start_s[a]), float(rows.end_s[b]), float(values[a]), str(kinds[a]))
        for a, b in zip(firsts, lasts, strict=True)
    ]


def _averaged(rows: LedgerColumns) -> list[Step]:
    """Return, for weeks of five-minute figures, each bin's mean intensity by energy and the kind at its beginning."""
    begin, end = float(rows.start_s[0]), float(rows.end_s.max())
    edges = edges_of(begin, end, nice_width_s(end - begin, _MOST_STEPS))
    weighed = replace(rows, emissions_gco2eq=rows.energy_kwh * rows.carbon_intensity_gco2eq_per_kwh)  # without PUE
    bins = binned(weighed, edges)
    kinds = np.array(rows.kinds)[np.minimum(np.searchsorted(rows.start_s, edges[:-1]), len(rows) - 1)]
    used = np.flatnonzero(bins.energy_kwh > 0)
    means = bins.emissions_gco2eq[used] / bins.energy_kwh[used]
    return [
        _step(float(edges[k]), float(edges[k + 1]), float(mean), str(kinds[k]))
        for k, mean in zip(used, means, strict=True)
    ]


def _of(readings: Sequence[Reading]) -> list[Step]:
    newest_last = {reading.start: reading for reading in readings}  # a later look knows an interval better
    return [
        _step(r.start.timestamp(), r.end.timestamp(), r.carbon_intensity_gco2eq_per_kwh, r.kind.value)
        for _, r in sorted(newest_last.items())
    ]


def _uncovered(steps: Sequence[Step], known: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        begin = step.start_s
        for other in known:
            if other.end_s <= begin or other.start_s >= step.end_s:
                continue
            if other.start_s > begin:
                yield _step(begin, other.start_s, step.carbon_intensity_gco2eq_per_kwh, step.kind)
            begin = max(begin, other.end_s)
        if begin < step.end_s:
            yield _step(begin, step.end_s, step.carbon_intensity_gco2eq_per_kwh, step.kind)


def _joined(steps: Iterable[Step]) -> Iterator[Step]:
    last: Step | None = None
    for step in steps:
        same = last is not None and (step.carbon_intensity_gco2eq_per_kwh, step.kind) == (
            last.carbon_intensity_gco2eq_per_kwh,
            last.kind,
        )
        if last is not None and same and abs(step.start_s - last.end_s) < 1.0:
            last = _step(last.start_s, step.end_s, last.carbon_intensity_gco2eq_per_kwh, last.kind)
            continue
        if last is not None:
            yield last
        last = step
    if last is not None:
        yield last


def _step(start_s: float, end_s: float, value: float, kind: str) -> Step:
    return Step(start_s=start_s, end_s=end_s, carbon_intensity_gco2eq_per_kwh=value, kind=kind)
