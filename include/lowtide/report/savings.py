"""Turns one training's files into its line of the savings ledger, or into the reason why it has none."""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lowtide.config.schema import ReportConfig
from lowtide.io import sha256_of, write_atomically, write_json_atomically
from lowtide.records import (
    READABLE_SCHEMA_VERSIONS,
    EnergyTotals,
    IncompleteRecord,
    IntensityKind,
    TrainingRecord,
    decision_files,
    tells_of_an_unfinished_run,
)
from lowtide.report.data_quality import (
    counterfactual_reasons,
    estimated_energy_reasons,
    forecast_reasons,
    foreign_signal_reasons,
    incomplete_energy_reasons,
    simulated_reasons,
    unvalued_energy_reasons,
)
from lowtide.report.savings_model import Basis, Figures, Group, LeftOut, Part, Repeatability, Savings, SavingsRun
from lowtide.report.savings_text import cells_csv, runs_csv
from lowtide.report.waiting import Queue, WaitSeen, paused_s, queue_of, queue_reason, wait_seen, waiting_of
from lowtide.timeutil import as_utc
from lowtide.units import percent_text

# What may be counted as avoided: by waiting, where the record carries it; by efficiency, where the run's report claims it.


_NOT_ASKED = "there is no report of this run; its compare task, or `lowtide compare`, writes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """Grams, with bounds where they are known; None with the reasons where nothing may be counted."""

    gco2eq: float | None = None
    low_gco2eq: float | None = None
    high_gco2eq: float | None = None
    reasons: tuple[str, ...] = ()
    repeatability_percent: float | None = None


def avoided_by_waiting(record: TrainingRecord, basis: Basis, *, waited: bool | None, queued_s: float = 0.0) -> Avoided:
    """Return what the same-run counterfactual says: this run's own energy, had it begun at submission.

    :param waited: whether it waited for the grid; None = its decisions were not kept.
    :param queued_s: how long it stood in a queue after the decision to start.
    """
    if waited is False and record.policy != "immediate":
        return Avoided(reasons=("the run did not wait for the grid, by its decisions; a queue is no saving",))
    reasons = _waiting_barred(record, basis) or ([queue_reason(queued_s)] if queued_s else [])
    if reasons:
        return Avoided(reasons=tuple(reasons))
    found = waiting_of(record)
    return Avoided(
        gco2eq=found.avoided_gco2eq, low_gco2eq=found.avoided_low_gco2eq, high_gco2eq=found.avoided_high_gco2eq
    )


def _waiting_barred(record: TrainingRecord, basis: Basis) -> list[str]:
    if basis == "simulated" and record.policy != "immediate" and record.counterfactual is not None:
        return incomplete_energy_reasons(
            record, "run"
        )  # a simulation is told as one, and never added to what was measured
    rules = (forecast_reasons, foreign_signal_reasons, unvalued_energy_reasons, incomplete_energy_reasons)
    return [reason for rule in rules for reason in rule(record, "run")] + counterfactual_reasons(record)


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Side(_Lenient):
    energy_kwh: EnergyTotals
    pue: float
    samples: int
    ledger_sha256: str

    @property
    def energy_per_sample_kwh(self) -> float:
        """After PUE; 0 without a sample."""
        return self.energy_kwh.total * self.pue / self.samples if self.samples else 0.0


class _Headline(_Lenient):
    status: str


class _Ours(_Lenient):
    parts: tuple[str, ...]


class _Difference(_Lenient):
    label: str
    bars: str


class _Fairness(_Lenient):
    differences: tuple[_Difference, ...]


class _Repeats(_Lenient):
    baselines: tuple[_Side, ...]
    runs: tuple[_Side, ...]


class _Comparison(_Lenient):
    """What is needed of ``report.json``; a report of before 1.2 does not say what it claims, and has no ``ours``."""

    headline: _Headline
    controllable: _Ours | None = None
    comparability: _Fairness | None = None
    replicates: _Repeats | None = None
    baseline: _Side | None
    run: _Side
    repeatability_percent: float | None = None


def avoided_by_efficiency(report: Path, record: TrainingRecord, *, repeatability: Repeatability) -> Avoided:
    """Return the energy that the baseline's energy per sample would have taken beyond the run's, at the run's own intensity.

    Not the efficiency's part of the change: that is weighed by the baseline's emissions too, and after a cleaner week would
    be more grams than the run could have emitted at all. Only where the run's report claims efficiency, and where its own
    change is beyond the repeatability it was written with: the noise of one baseline is in every run that is held against it, and adds up.
    """
    try:
        found = _Comparison.model_validate(json.loads(report.read_bytes()))
    except FileNotFoundError:
        return Avoided(reasons=(_NOT_ASKED,))
    except (OSError, ValueError, ValidationError):
        return Avoided(reasons=("its report cannot be read",))
    percent = repeatability.of(found.repeatability_percent)
    return replace(_by_efficiency(found, record, percent), repeatability_percent=percent)


def _by_efficiency(found: _Comparison, record: TrainingRecord, repeatability_percent: float) -> Avoided:
    if reasons := _not_claimed(found, record):
        return Avoided(reasons=tuple(reasons))
    before, now = _mean_energy_per_sample_kwh(found), found.run.energy_per_sample_kwh
    if not before or not now:
        return Avoided(reasons=("there is no energy per sample to compare",))
    if abs(now / before - 1.0) <= repeatability_percent / 100.0:
        change = percent_text(repeatability_percent)
        return Avoided(reasons=(f"its energy per sample has no measurable change (within {change})",))
    return Avoided(gco2eq=record.emissions_gco2eq * (before / now - 1.0))


def _baselines(found: _Comparison) -> tuple[_Side, ...]:
    if found.replicates is not None:
        return found.replicates.baselines
    return () if found.baseline is None else (found.baseline,)


def _mean_energy_per_sample_kwh(found: _Comparison) -> float:
    sides = _baselines(found)
    return math.fsum(side.energy_per_sample_kwh for side in sides) / len(sides) if sides else 0.0


def _not_claimed(found: _Comparison, record: TrainingRecord) -> list[str]:
    if found.run.ledger_sha256 != record.ledger_sha256:
        return ["its report tells of another account than its record; clear its compare task to renew it"]
    if found.headline.status != "claimed":
        return [f"its report's status is {found.headline.status}"]
    if found.comparability is None or found.baseline is None:
        return ["its report is of an earlier version, which does not say what it claims; clear its compare task"]
    if found.replicates is not None and len(found.replicates.runs) > 1:
        return ["its report is about several runs, not about this one"]
    counted = found.controllable is not None and "efficiency" in found.controllable.parts
    return _efficiency_barred(found, found.comparability) or (
        [] if counted else ["its report does not count efficiency"]
    )


def _efficiency_barred(found: _Comparison, comparability: _Fairness) -> list[str]:
    reasons = [f"{d.label} differs from the baseline's" for d in comparability.differences if d.bars != "nothing"]
    for side, who in (*((baseline, "baseline") for baseline in _baselines(found)), (found.run, "run")):
        stand_in: Any = side  # the rule reads the energy and its methods only
        reasons += estimated_energy_reasons(stand_in, who)
    return list(dict.fromkeys(reasons))


# Finds what trainings left below an artifact root, and tells whether it has changed since it was last read.


_MARKS = ("record.json", "ledger.jsonl", "decisions.jsonl")
_REPLACED = re.compile(r"(finished|other)-\d+")
_MAPPED = re.compile(r"(.+)~\d+")
"""The folder of an instance of a mapped training, beside the one of its run, where the wait's decisions are."""

"""Size, time of change and inode of each file that an entry rests on; None where it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFolder:
    """Where one training's files lie. ``superseded``: another training took its place in the run's folder since."""

    root: Path
    path: Path
    dag: str | None
    superseded: bool = False

    @property
    def name(self) -> str:
        """The folder below the artifact root."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def report(self) -> Path:
        """Where this run's report lies, if it was written to the place that belongs to it."""
        return self.root / "reports" / self.path.relative_to(self.root / "runs") / "report.json"

    @property
    def decisions(self) -> tuple[Path, ...]:
        """The training's own decisions, and those of its run, since a mapped training's wait is not mapped."""
        return decision_files(self.path)

    def last_change(self) -> datetime:
        """Return when the newest of its files was written."""
        changed = [found.st_mtime for mark in _MARKS if (found := _stat_result(self.path / mark)) is not None]
        return datetime.fromtimestamp(max(changed, default=0.0), UTC)


def training_folders(root: Path) -> Iterator[TrainingFolder]:
    """Yield all trainings below ``runs``, in a fixed order: of DAGs (runs/DAG/RUN), and of the command line (runs/NAME)."""
    for first in _folders(root / "runs"):
        if _holds_a_training(first):
            yield from _of_run(root, first, dag=None)
            continue
        runs = _folders(first)
        waited_for_mapped = {found.group(1) for run in runs if (found := _MAPPED.fullmatch(run.name))}
        for run in runs:
            if run.name not in waited_for_mapped or _has_an_account(run):
                yield from _of_run(root, run, dag=first.name)


def _of_run(root: Path, path: Path, *, dag: str | None) -> Iterator[TrainingFolder]:
    yield TrainingFolder(root=root, path=path, dag=dag)
    for replaced in _folders(path):
        if _REPLACED.fullmatch(replaced.name):
            yield TrainingFolder(root=root, path=replaced, dag=dag, superseded=True)


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as found:
            return sorted(Path(entry.path) for entry in found if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds_a_training(path: Path) -> bool:
    return any((path / mark).exists() for mark in _MARKS)


def _has_an_account(path: Path) -> bool:
    return any((path / name).exists() for name in ("record.json", "ledger.jsonl"))


def _stat_result(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


Account = TrainingRecord | IncompleteRecord

_MODEL = re.compile(r"model=(.*?); data=")
_BEGINNING_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ACCOUNT = {
    "skip": "it was skipped, since the deadline left no time for it",
    "fail": "it was given up, since the deadline left no time for it",
    "wait": "it has not begun: it still waits for the grid, or its wait was ended",
}


Entry = SavingsRun | LeftOut


def entry_of(folder: TrainingFolder, *, repeatability: Repeatability) -> Entry:
    """Read a training's record, decisions and report; what cannot be accounted is a reason, never an exception."""
    try:
        data = json.loads((folder.path / "record.json").read_bytes())
        account = _account(data)
    except FileNotFoundError:
        return _left_out(folder, _without_record(folder))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return _left_out(folder, f"its record.json is not a training record: {where}: {first['msg']}")
    except (OSError, ValueError) as error:
        return _left_out(folder, f"its record.json cannot be read ({error})")
    facts: Any = account  # both kinds of account have what this rule reads
    if foreign := foreign_signal_reasons(facts, "run"):
        return _left_out(folder, foreign[0], account)
    return _entry(folder, account, repeatability)


def _account(data: Any) -> Account:
    if tells_of_an_unfinished_run(data):
        return IncompleteRecord.model_validate_json(json.dumps(data))
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version not in READABLE_SCHEMA_VERSIONS:
        raise ValueError(f"schema_version is {version!r}, which this version of Lowtide does not read")
    return TrainingRecord.model_validate_json(json.dumps(data))


def _without_record(folder: TrainingFolder) -> str:
    if (folder.path / "ledger.jsonl").exists():
        return "it has a ledger but no record: it still goes on, or was killed; `lowtide settle` reads it back"
    last = wait_seen(folder.decisions, _BEGINNING_OF_TIME).last_action
    return _NO_ACCOUNT.get(last or "", "it left neither record nor ledger")


def _left_out(folder: TrainingFolder, reason: str, account: Account | None = None) -> LeftOut:
    return LeftOut(
        dag=folder.dag,
        folder=folder.name,
        reason=reason,
        last_change=folder.last_change() if account is None else _real(account, account.ended_at),
        energy_kwh=None if account is None else account.energy_kwh.total,
        emissions_gco2eq=None if account is None else account.emissions_gco2eq,
    )


def _entry(folder: TrainingFolder, account: Account, repeatability: Repeatability) -> SavingsRun:
    basis, seen = _basis(account), _wait_of(folder, account)
    figures = {
        "basis": basis,
        **_identity(folder, account),
        **_used(account),
        **_waited(account, seen),
        **_avoided(folder, account, basis, seen, repeatability),
    }
    return SavingsRun.model_validate(figures)


def _identity(folder: TrainingFolder, account: Account) -> dict[str, Any]:
    ended_at = _real(account, account.ended_at)
    same = ("run_id", "zone", "signal_type", "emission_factor_type", "measuring_scope", "policy", "ledger_sha256")
    return {name: getattr(account, name) for name in same} | {
        "dag": _dag(folder, account),
        "folder": folder.name,
        "model": _model(account.comparison_key),
        "started_at": _real(account, account.started_at),
        "ended_at": ended_at,
        "month": f"{ended_at:%Y-%m}",
        "finished": isinstance(account, TrainingRecord),
        "superseded": folder.superseded,
    }


def _used(account: Account) -> dict[str, Any]:
    bounds = account.uncertainty
    return {
        "energy_complete": account.energy_complete,
        "energy_kwh": account.energy_kwh.total,
        "energy_with_pue_kwh": account.energy_kwh.total * account.pue,
        "emissions_gco2eq": account.emissions_gco2eq,
        "emissions_low_gco2eq": bounds.emissions_low_gco2eq if bounds else None,
        "emissions_high_gco2eq": bounds.emissions_high_gco2eq if bounds else None,
        "unsettled_gco2eq": account.emissions_gco2eq * _unsettled_share(account),
    }


def _waited(account: Account, seen: WaitSeen) -> dict[str, Any]:
    finished = isinstance(account, TrainingRecord)
    queue = _queue(account, seen)
    waited_s, paused = (account.wait_s, paused_s(account)) if isinstance(account, TrainingRecord) else (0.0, 0.0)
    return {
        "waited": seen.waited,
        "wait_s": max(0.0, waited_s - queue.before_start_s) if seen.waited else 0.0,
        "paused_s": max(0.0, paused - queue.in_pauses_s),
        "deadline": seen.deadline,
        "deadline_met": account.ended_at <= seen.deadline if finished and seen.deadline else None,
    }


def _queue(account: Account, seen: WaitSeen) -> Queue:
    return queue_of(account, seen.decided_to_run) if isinstance(account, TrainingRecord) and seen.waited else Queue()


def _basis(account: Account) -> Basis:
    facts: Any = account  # both kinds of account have what these rules read
    if simulated_reasons(facts, "run"):
        return "simulated"
    return "estimated_energy" if estimated_energy_reasons(facts, "run") else "measured"


def _wait_of(folder: TrainingFolder, account: Account) -> WaitSeen:
    """Return what the decisions say: of the training that stands. An immediate run never waits for the grid, but may be late."""
    seen = WaitSeen(waited=None)
    if not folder.superseded:
        seen = wait_seen(folder.decisions, account.submitted_at, account.started_at)
    return replace(seen, waited=False) if account.policy == "immediate" else seen


def _avoided(
    folder: TrainingFolder, account: Account, basis: Basis, seen: WaitSeen, repeatability: Repeatability
) -> dict[str, Any]:
    if not isinstance(account, TrainingRecord) or folder.superseded:
        why = "it was trained again since" if folder.superseded else "it did not finish"
        waiting = efficiency = Avoided(reasons=(why,))
    else:
        waiting = avoided_by_waiting(account, basis, waited=seen.waited, queued_s=_queue(account, seen).total_s)
        efficiency = avoided_by_efficiency(folder.report, account, repeatability=repeatability)
    return {
        "avoided_by_waiting_gco2eq": waiting.gco2eq,
        "avoided_by_waiting_low_gco2eq": waiting.low_gco2eq,
        "avoided_by_waiting_high_gco2eq": waiting.high_gco2eq,
        "waiting_not_counted": waiting.reasons,
        "avoided_by_efficiency_gco2eq": efficiency.gco2eq,
        "efficiency_not_counted": efficiency.reasons,
        "repeatability_percent": efficiency.repeatability_percent,
    }


def _dag(folder: TrainingFolder, account: Account) -> str | None:
    """Return the DAG's id; its folder's name may have had characters replaced, the run's id has not."""
    dag, separator, _ = account.run_id.partition("/")
    return dag if separator and folder.dag is not None else folder.dag


def _model(comparison_key: str) -> str:
    found = _MODEL.match(comparison_key)
    return found.group(1) if found else comparison_key


def _unsettled_share(account: Account) -> float:
    kinds = account.intensity_kinds
    return min(1.0, sum(kinds.get(kind, 0.0) for kind in (IntensityKind.FORECAST, IntensityKind.CACHED)))


def _real(account: Account, moment: datetime) -> datetime:
    return as_utc(moment if account.replay is None else account.replay.real(moment))


# Sums of runs whose figures mean the same thing: one basis, one signal type, one emission factor type.


_S_PER_HOUR = 3600.0
_BASES = ("measured", "estimated_energy", "simulated")

_Key = tuple[str | None, str | None]


def groups_of(runs: Sequence[SavingsRun]) -> tuple[Group, ...]:
    """Return the groups that there are runs of: measured ones first, simulated ones last."""
    keys = {(run.basis, run.signal_type, run.emission_factor_type) for run in runs}
    return tuple(
        _group([run for run in runs if (run.basis, run.signal_type, run.emission_factor_type) == key])
        for key in sorted(keys, key=lambda key: (_BASES.index(key[0]), *key[1:]))
    )


def figures_of(runs: Sequence[SavingsRun]) -> Figures:
    """Return the sums over runs of one group."""
    waiting = [run for run in runs if run.avoided_by_waiting_gco2eq is not None]
    efficient = [run for run in runs if run.avoided_by_efficiency_gco2eq is not None]
    return Figures(
        runs=len(runs),
        unfinished_runs=sum(not run.finished for run in runs),
        superseded_runs=sum(run.superseded for run in runs),
        runs_with_missing_energy=sum(not run.energy_complete for run in runs),
        energy_kwh=math.fsum(run.energy_kwh for run in runs),
        energy_with_pue_kwh=math.fsum(run.energy_with_pue_kwh for run in runs),
        emissions_gco2eq=math.fsum(run.emissions_gco2eq for run in runs),
        emissions_low_gco2eq=_sum_if_all(run.emissions_low_gco2eq for run in runs),
        emissions_high_gco2eq=_sum_if_all(run.emissions_high_gco2eq for run in runs),
        unsettled_gco2eq=math.fsum(run.unsettled_gco2eq for run in runs),
        avoided_by_waiting_gco2eq=_sum_if_all(run.avoided_by_waiting_gco2eq for run in waiting),
        avoided_by_waiting_low_gco2eq=_sum_if_all(run.avoided_by_waiting_low_gco2eq for run in waiting),
        avoided_by_waiting_high_gco2eq=_sum_if_all(run.avoided_by_waiting_high_gco2eq for run in waiting),
        runs_with_waiting=len(waiting),
        avoided_by_efficiency_gco2eq=_sum_if_all(run.avoided_by_efficiency_gco2eq for run in efficient),
        runs_with_efficiency=len(efficient),
        waits=sum(run.waited is True for run in runs),
        waits_unknown=sum(run.waited is None for run in runs),
        wait_h=math.fsum(run.wait_s for run in runs) / _S_PER_HOUR,
        paused_h=math.fsum(run.paused_s for run in runs) / _S_PER_HOUR,
        deadlines=sum(run.deadline_met is not None for run in runs),
        deadlines_missed=sum(run.deadline_met is False for run in runs),
    )


def _group(runs: Sequence[SavingsRun]) -> Group:
    first = runs[0]
    return Group(
        basis=first.basis,
        signal_type=first.signal_type,
        emission_factor_type=first.emission_factor_type,
        measuring_scopes=dict(sorted(Counter(run.measuring_scope for run in runs).items())),
        total=figures_of(runs),
        by_month=_parts(runs, lambda run: (run.month, None)),
        by_model=_parts(runs, lambda run: (None, run.model)),
        cells=_parts(runs, lambda run: (run.month, run.model)),
    )


def _parts(runs: Sequence[SavingsRun], key_of: Callable[[SavingsRun], _Key]) -> tuple[Part, ...]:
    found: dict[_Key, list[SavingsRun]] = {}
    for run in runs:
        found.setdefault(key_of(run), []).append(run)
    ordered = sorted(found.items(), key=lambda item: tuple(part or "" for part in item[0]))
    return tuple(Part(month=month, model=model, figures=figures_of(part)) for (month, model), part in ordered)


def _sum_if_all(values: Iterable[float | None]) -> float | None:
    """Return the sum; None where nothing is known, or not of all: a sum over some would pass for the whole."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) if known and len(known) == len(found) else None


# Puts the savings ledger together: which runs, in which groups, and which are left out and why.


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
    :param verify: compare each energy ledger with its record's checksum, and leave out the runs where they differ.
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
    entries = (entry_of(folder, repeatability=repeatability) for folder in training_folders(root))
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


# Writes the savings ledger of an artifact root where a dashboard, or a person, finds it.


def refresh_savings(root: Path, *, settings: ReportConfig, now: datetime) -> tuple[Savings, dict[str, Path]]:
    """Write ``savings.json``, ``savings.csv`` and ``runs.csv`` of all runs, each whole or not at all.

    :return: the ledger, and the paths by file name.
    :raises ArtifactError: a file cannot be written.
    """
    savings = savings_ledger(root, SavingsQuery(), repeatability_percent=settings.repeatability_percent, now=now)
    folder = savings_folder(root)
    return savings, {
        "savings.csv": write_atomically(folder / "savings.csv", cells_csv(savings)),
        "runs.csv": write_atomically(folder / "runs.csv", runs_csv(savings)),
        "savings.json": write_json_atomically(folder / "savings.json", savings.model_dump_json(indent=2)),
    }
