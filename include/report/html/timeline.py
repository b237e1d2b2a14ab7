"""When a run waited, ran and paused, and what the grid emitted meanwhile, from its ledger and its decisions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import numpy as np

from include.records import Reading
from include.report.html.bins import binned, edges_of, nice_width_s
from include.report.html.evidence import Evidence, Look
from include.report.html.ledger_columns import LedgerColumns
from include.report.model import RunFigures

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
