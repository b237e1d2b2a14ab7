"""Puts the savings ledger together: which runs, in which groups, and which are left out and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from include.files import sha256_of
from include.report.savings.index import Entry, current_entries
from include.report.savings.model import LeftOut, Repeatability, Savings, SavingsRun
from include.report.savings.sums import groups_of

INDEX = "index.json"

NOTES = (
    "Avoided by waiting is the same-run counterfactual: a run's own energy, had it begun at submission. Avoided by efficiency"
    " is what the baseline's energy per sample would have taken beyond the run's, at the intensity at which the run ran; it"
    " counts only where the run's report claims efficiency and that change is measurable. The two are weighed differently and"
    " are not added up.",
    "A run counts in the month in which it ended, in UTC. Waits and deadlines are in policy time, which is virtual in a"
    " simulated run.",
    "Groups (measured, estimated energy, simulated; signal type; emission factor type) are never added up.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsQuery:
    """Which runs: those that ended in ``[since, until)``, of one DAG or of all.

    :param repeatability_percent: for all runs, whatever their reports say; None for each report's own.
    :param verify: read every record, not the index, and hold each energy ledger against its record's checksum.
    """

    since: datetime | None = None
    until: datetime | None = None
    dag: str | None = None
    verify: bool = False
    repeatability_percent: float | None = None


def savings_folder(root: Path) -> Path:
    """Return where the savings ledger of an artifact root is kept."""
    return root / "savings"


def savings_ledger(root: Path, query: SavingsQuery, *, repeatability_percent: float, now: datetime) -> Savings:
    """Return the runs below an artifact root and their sums.

    :param repeatability_percent: a change within this is not claimed for efficiency, where a report does not say its own.
    """
    asked = query.repeatability_percent
    repeatability = Repeatability(percent=repeatability_percent if asked is None else asked, for_all=asked is not None)
    index = savings_folder(root) / INDEX
    entries = current_entries(root, index, repeatability=repeatability, trusted=not query.verify)
    wanted = _once_each(entry for entry in entries if _is_wanted(entry, query))
    if query.verify:
        wanted = [_verified(root, entry) for entry in wanted]
    runs = [entry for entry in wanted if isinstance(entry, SavingsRun)]
    return Savings(
        generated_at=now,
        since=query.since,
        until=query.until,
        dag=query.dag,
        ledgers_verified=query.verify,
        repeatability_percent=repeatability.percent,
        repeatability_for_all=repeatability.for_all,
        groups=groups_of(runs),
        left_out=tuple(entry for entry in wanted if isinstance(entry, LeftOut)),
        runs=tuple(sorted(runs, key=lambda run: (run.ended_at, run.folder))),
        notes=NOTES,
    )


def _is_wanted(entry: Entry, query: SavingsQuery) -> bool:
    moment = entry.ended_at if isinstance(entry, SavingsRun) else entry.last_change
    after = query.since is None or moment >= query.since
    before = query.until is None or moment < query.until
    return after and before and query.dag in (None, entry.dag, entry.folder.split("/")[1])


def _once_each(entries: Iterable[Entry]) -> list[Entry]:
    """Leave out copies of a run's folder: what was used once must not count twice.

    A copy may be of an earlier state: before the training went on after a pause, or before it was settled.
    """
    found = list(entries)
    kept: dict[tuple[str, datetime], SavingsRun] = {}
    for run in found:
        if isinstance(run, SavingsRun):
            first = kept.setdefault((run.run_id, run.started_at), run)
            kept[run.run_id, run.started_at] = max(first, run, key=_how_far_on)
    return [
        _kept(entry, kept[entry.run_id, entry.started_at]) if isinstance(entry, SavingsRun) else entry
        for entry in found
    ]


def _how_far_on(run: SavingsRun) -> tuple[bool, float, float]:
    return run.finished, run.energy_kwh, -run.unsettled_gco2eq


def _kept(run: SavingsRun, kept: SavingsRun) -> Entry:
    return run if run.folder == kept.folder else _out(run, f"it is a copy of {kept.folder}")


def _verified(root: Path, entry: Entry) -> Entry:
    if not isinstance(entry, SavingsRun):
        return entry
    ledger = root / entry.folder / "ledger.jsonl"
    try:
        same = sha256_of(ledger) == entry.ledger_sha256
    except OSError as error:
        return _out(entry, f"its ledger cannot be read ({error.strerror})")
    return entry if same else _out(entry, "its ledger has changed since its record was written")


def _out(run: SavingsRun, reason: str) -> LeftOut:
    return LeftOut(
        dag=run.dag,
        folder=run.folder,
        reason=reason,
        last_change=run.ended_at,
        energy_kwh=run.energy_kwh,
        emissions_gco2eq=run.emissions_gco2eq,
    )
