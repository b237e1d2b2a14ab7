"""The savings of an artifact root: what all runs used, emitted and avoided, by month and by model."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lowtide.errors import ArtifactError
from lowtide.io import sha256_of, write_atomically
from lowtide.records import AnyRecord, TrainingRecord, decision_files, newest_decisions, read_record
from lowtide.report.data_quality import (
    UNSOUND,
    estimated_energy_reasons,
    incomplete_energy_reasons,
    simulated_reasons,
    unsettled_share,
    unvalued_energy_reasons,
)
from lowtide.report.figures import runs_of
from lowtide.report.model import Report
from lowtide.report.savings_model import Basis, Figures, Group, LeftOut, Part, Savings, SavingsRun
from lowtide.report.savings_text import cells_csv, runs_csv
from lowtide.report.waiting import Delay, avoided_with_bounds, delay_of, waiting_reasons
from lowtide.units import percent_text

NOTES = (
    "Avoided by waiting is the same-run counterfactual: a run's own energy, had it started at submission. Avoided by efficiency"
    " is what the baseline's energy per sample would have taken beyond the run's, at the intensity at which the run ran; it"
    " counts only where the run's report claims efficiency and that change is measurable. The two are weighed differently and"
    " are not added up.",
    "A run counts in the month in which it ended, in UTC. Waits and deadlines are in policy time, which is virtual in a"
    " simulated run.",
    "Groups (measured, estimated energy, simulated; signal type; emission factor type) are never added up.",
)

_S_PER_HOUR = 3600.0
_BASES = ("measured", "estimated_energy", "simulated")
_FILES = ("record.json", "ledger.jsonl", "decisions.jsonl")
_REPLACED = re.compile(r"(finished|other)-\d+")
_MAPPED = re.compile(r"(.+)~\d+")
"""The folder of an instance of a mapped training, beside that of its run, which has the decisions of the wait."""
_MODEL = re.compile(r"model=(.*?); data=")
_NO_RESULT = {True: "it was trained again since", False: "it did not finish"}
"""Why a superseded training, or one that is not finished, avoided nothing that counts."""
_NOT_STARTED = {
    "skip": "it was skipped, because the deadline left no time for it",
    "fail": "it was given up, because the deadline left no time for it",
    "wait": "it has not started: it still waits for the grid, or its wait was ended",
}


def refresh_savings(root: Path, *, now: datetime) -> tuple[Savings, dict[str, Path]]:
    """Write ``savings.json``, ``savings.csv`` and ``runs.csv`` of all runs, each whole or not at all.

    :return: the savings, and the paths by file name.
    :raises ArtifactError: a file cannot be written.
    """
    savings = savings_ledger(root, now=now)
    folder = root / "savings"
    return savings, {
        "savings.csv": write_atomically(folder / "savings.csv", cells_csv(savings)),
        "runs.csv": write_atomically(folder / "runs.csv", runs_csv(savings)),
        "savings.json": write_atomically(folder / "savings.json", savings.model_dump_json(indent=2) + "\n"),
    }


def savings_ledger(
    root: Path,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    dag: str | None = None,
    verify: bool = False,
    repeatability_percent: float | None = None,
) -> Savings:
    """Return the runs below an artifact root that ended in ``[since, until)``, of one DAG or of all, and their sums.

    :param verify: compare each energy ledger with its record's checksum, and leave out the runs where they differ.
    :param repeatability_percent: a change of energy per sample within this is not counted; None for each report's own.
    """
    entries = (_entry_of(folder, repeatability_percent) for folder in training_folders(root))
    wanted = _once_each([entry for entry in entries if _is_wanted(entry, since, until, dag)])
    if verify:
        wanted = [_verified(root, entry) for entry in wanted]
    runs = [entry for entry in wanted if isinstance(entry, SavingsRun)]
    return Savings(
        generated_at=now,
        since=since,
        until=until,
        dag=dag,
        ledgers_verified=verify,
        repeatability_percent=repeatability_percent,
        groups=groups_of(runs),
        left_out=tuple(entry for entry in wanted if isinstance(entry, LeftOut)),
        runs=tuple(sorted(runs, key=lambda run: (run.ended_at, run.folder))),
        notes=NOTES,
    )


# The trainings below an artifact root.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFolder:
    """Where one training's files are. ``superseded``: another training has replaced it in the run's folder."""

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
        """Where this run's report is, if it was written to its usual place."""
        return self.root / "reports" / self.path.relative_to(self.root / "runs") / "report.json"

    def last_change(self) -> datetime:
        """Return when the newest of its files was written."""
        changed = [(self.path / name).stat().st_mtime for name in _FILES if (self.path / name).exists()]
        return datetime.fromtimestamp(max(changed, default=0.0), UTC)


def training_folders(root: Path) -> Iterator[TrainingFolder]:
    """Yield all trainings below ``runs``, in a fixed order: of DAGs (runs/DAG/RUN), and of the command line (runs/NAME)."""
    for first in _folders(root / "runs"):
        if _has_any(first, _FILES):
            yield from _of_run(root, first, dag=None)
            continue
        runs = _folders(first)
        waited_for_mapped = {found.group(1) for run in runs if (found := _MAPPED.fullmatch(run.name))}
        for run in runs:
            if run.name not in waited_for_mapped or _has_any(run, ("record.json", "ledger.jsonl")):
                yield from _of_run(root, run, dag=first.name)


def _of_run(root: Path, path: Path, *, dag: str | None) -> Iterator[TrainingFolder]:
    yield TrainingFolder(root=root, path=path, dag=dag)
    for replaced in _folders(path):
        if _REPLACED.fullmatch(replaced.name):
            yield TrainingFolder(root=root, path=replaced, dag=dag, superseded=True)


def _folders(path: Path) -> list[Path]:
    entries = path.iterdir() if path.is_dir() else ()
    return sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _has_any(path: Path, names: Sequence[str]) -> bool:
    return any((path / name).exists() for name in names)


# One training: a line of the savings, or the reason why it has none.


Entry = SavingsRun | LeftOut


def _entry_of(folder: TrainingFolder, repeatability_percent: float | None) -> Entry:
    """Read a training's record, decisions and report; what cannot be accounted is a reason, never an exception."""
    file = folder.path / "record.json"
    if not file.exists():
        return _without_record(folder, _not_recorded(folder))
    try:
        record = read_record(file)
    except ArtifactError as error:
        return _without_record(folder, f"its record.json {str(error).removeprefix(f'{file}: ')}")
    run = _savings_run(folder, record, repeatability_percent)
    unvalued = unvalued_energy_reasons(record, "run")
    return _left_out(run, unvalued[0]) if unvalued else run


def _not_recorded(folder: TrainingFolder) -> str:
    ledger = folder.path / "ledger.jsonl"
    if ledger.exists() and ledger.stat().st_size:  # one without a line is of a run that ended before it measured
        return "it has a ledger but no record: it is still running, or was killed; `lowtide settle` recovers it"
    last = next(newest_decisions(*decision_files(folder.path)), None)
    return _NOT_STARTED.get(last.action if last else "", "it left neither record nor ledger")


def _without_record(folder: TrainingFolder, reason: str) -> LeftOut:
    return LeftOut(dag=folder.dag, folder=folder.name, reason=reason, last_change=folder.last_change())


def _left_out(run: SavingsRun, reason: str) -> LeftOut:
    return LeftOut(
        dag=run.dag,
        folder=run.folder,
        reason=reason,
        last_change=run.ended_at,
        energy_kwh=run.energy_kwh,
        emissions_gco2eq=run.emissions_gco2eq,
    )


def _savings_run(folder: TrainingFolder, record: AnyRecord, repeatability_percent: float | None) -> SavingsRun:
    delay, bounds = _delay(folder, record), record.uncertainty
    finished, ended_at = isinstance(record, TrainingRecord), record.real(record.ended_at)
    no_waiting, efficiency = _no_waiting(folder, record, delay), _efficiency(folder, record, repeatability_percent)
    avoided, low, high = (None, None, None) if no_waiting else avoided_with_bounds(record)
    return SavingsRun(
        run_id=record.run_id,
        dag=_dag(folder, record),
        folder=folder.name,
        model=found.group(1) if (found := _MODEL.match(record.comparison_key)) else record.comparison_key,
        zone=record.zone,
        basis=_basis(record),
        signal_type=record.signal_type,
        emission_factor_type=record.emission_factor_type,
        measuring_scope=record.measuring_scope,
        policy=record.policy,
        started_at=record.real(record.started_at),
        ended_at=ended_at,
        month=f"{ended_at:%Y-%m}",
        finished=finished,
        superseded=folder.superseded,
        energy_complete=record.energy_complete,
        energy_kwh=record.energy_kwh.total,
        energy_with_pue_kwh=record.energy_kwh.total * record.pue,
        emissions_gco2eq=record.emissions_gco2eq,
        emissions_low_gco2eq=bounds.emissions_low_gco2eq if bounds else None,
        emissions_high_gco2eq=bounds.emissions_high_gco2eq if bounds else None,
        unsettled_gco2eq=record.emissions_gco2eq * min(1.0, unsettled_share(record.intensity_kinds)),
        waited=delay.waited,
        wait_s=delay.waited_s,
        paused_s=delay.paused_s,
        deadline=delay.deadline,
        deadline_met=record.ended_at <= delay.deadline if finished and delay.deadline else None,
        avoided_by_waiting_gco2eq=avoided,
        avoided_by_waiting_low_gco2eq=low,
        avoided_by_waiting_high_gco2eq=high,
        waiting_not_counted=tuple(no_waiting),
        avoided_by_efficiency_gco2eq=efficiency.avoided_gco2eq,
        efficiency_not_counted=tuple(efficiency.not_counted),
        repeatability_percent=efficiency.repeatability_percent,
        ledger_sha256=record.ledger_sha256,
    )


def _basis(record: AnyRecord) -> Basis:
    if simulated_reasons(record, "run"):
        return "simulated"
    return "estimated_energy" if estimated_energy_reasons(record, "run") else "measured"


def _delay(folder: TrainingFolder, record: AnyRecord) -> Delay:
    """Return the delay by the decisions, which are those of the newest training. An immediate run never waits for the grid."""
    decisions = () if folder.superseded else newest_decisions(*decision_files(folder.path))
    delay = delay_of(record, decisions)
    return delay._replace(waited=False, waited_s=0.0) if record.policy == "immediate" else delay


def _dag(folder: TrainingFolder, record: AnyRecord) -> str | None:
    """Return the DAG's id; its folder's name may have had characters replaced, the run's id has not."""
    dag, separator, _ = record.run_id.partition("/")
    return dag if separator and folder.dag is not None else folder.dag


# What may be counted as avoided: by waiting, where the record supports it; by efficiency, where the run's report claims it.


def _no_waiting(folder: TrainingFolder, record: AnyRecord, delay: Delay) -> list[str]:
    """Return why what waiting avoided is not counted; simulated savings may be unsettled, for they are never added to measured ones."""
    if folder.superseded or not isinstance(record, TrainingRecord):
        return [_NO_RESULT[folder.superseded]]
    rules = (incomplete_energy_reasons,) if simulated_reasons(record, "run") else UNSOUND
    return [reason for rule in rules for reason in rule(record, "run")] + waiting_reasons(record, delay)


class _Efficiency(NamedTuple):
    """Grams avoided, or why none are counted; the repeatability is None where there is no report."""

    avoided_gco2eq: float | None = None
    not_counted: Sequence[str] = ()
    repeatability_percent: float | None = None


def _efficiency(folder: TrainingFolder, record: AnyRecord, repeatability_percent: float | None) -> _Efficiency:
    """Return the energy that the baseline's energy per sample would have taken beyond the run's, at the run's own intensity.

    Not the efficiency's part of the change: that is weighed by the baseline's emissions too, and after a cleaner week would
    be more grams than the run could have emitted at all. Only where the run's report claims efficiency, and where its own
    change is beyond the repeatability it was written with: the noise of one baseline is in every run compared with it, and adds up.
    """
    if folder.superseded or not isinstance(record, TrainingRecord):
        return _Efficiency(not_counted=[_NO_RESULT[folder.superseded]])
    try:
        report = Report.model_validate_json(folder.report.read_bytes())
    except FileNotFoundError:
        return _Efficiency(
            not_counted=["there is no report of this run; its compare task, or `lowtide compare`, writes one"]
        )
    except (OSError, ValidationError):
        return _Efficiency(not_counted=["its report cannot be read"])
    percent = report.repeatability_percent if repeatability_percent is None else repeatability_percent
    if reasons := _efficiency_barred(report, record):
        return _Efficiency(None, reasons, percent)
    sides = [_energy_per_sample_kwh(side) for side in runs_of(report, "baseline")]
    before, now = math.fsum(sides) / len(sides), _energy_per_sample_kwh(report.run)
    if not before or not now:
        return _Efficiency(None, ["there is no energy per sample to compare"], percent)
    if abs(now / before - 1.0) <= percent / 100.0:
        reason = f"its energy per sample has no measurable change (within {percent_text(percent)})"
        return _Efficiency(None, [reason], percent)
    return _Efficiency(record.emissions_gco2eq * (before / now - 1.0), (), percent)


def _efficiency_barred(found: Report, record: TrainingRecord) -> list[str]:
    if found.run.ledger_sha256 != record.ledger_sha256:
        return ["its report is about another state of the run than its record; clear its compare task to renew it"]
    if found.headline.status != "claimed":
        return [f"its report's status is {found.headline.status}"]
    if found.replicates is not None and len(found.replicates.runs) > 1:
        return ["its report is about several runs, not about this one"]
    differing = [d.label for d in found.fairness.differences if d.bars != "nothing"]
    reasons = [f"{label} differs from the baseline's" for label in differing]
    for side, who in (*((baseline, "baseline") for baseline in runs_of(found, "baseline")), (found.run, "run")):
        reasons += estimated_energy_reasons(side, who)
    counted = found.controllable is not None and "efficiency" in found.controllable.parts
    return list(dict.fromkeys(reasons)) or ([] if counted else ["its report does not count efficiency"])


def _energy_per_sample_kwh(side: TrainingRecord) -> float:
    """Return the energy per sample after PUE; 0 without a sample."""
    return side.energy_kwh.total * side.pue / side.samples if side.samples else 0.0


# Which entries count.


def _is_wanted(entry: Entry, since: datetime | None, until: datetime | None, dag: str | None) -> bool:
    time = entry.ended_at if isinstance(entry, SavingsRun) else entry.last_change
    after = since is None or time >= since
    before = until is None or time < until
    return after and before and dag in (None, entry.dag, entry.folder.split("/")[1])


def _once_each(entries: Sequence[Entry]) -> list[Entry]:
    """Leave out copies of a run's folder, which may be of an earlier state: before the training resumed, or was settled."""
    best: dict[tuple[str, datetime], SavingsRun] = {}
    for run in entries:
        if isinstance(run, SavingsRun):
            key = (run.run_id, run.started_at)
            best[key] = max(
                best.get(key, run), run, key=lambda one: (one.finished, one.energy_kwh, -one.unsettled_gco2eq)
            )
    return [
        _left_out(entry, f"it is a copy of {folder}")
        if isinstance(entry, SavingsRun) and (folder := best[entry.run_id, entry.started_at].folder) != entry.folder
        else entry
        for entry in entries
    ]


def _verified(root: Path, entry: Entry) -> Entry:
    if not isinstance(entry, SavingsRun):
        return entry
    try:
        same = sha256_of(root / entry.folder / "ledger.jsonl") == entry.ledger_sha256
    except OSError as error:
        return _left_out(entry, f"its ledger cannot be read ({error.strerror})")
    return entry if same else _left_out(entry, "its ledger has changed since its record was written")


# Sums of runs whose figures mean the same thing: one basis, one signal type, one emission factor type.


def groups_of(runs: Sequence[SavingsRun]) -> tuple[Group, ...]:
    """Return the groups that there are runs of: measured ones first, simulated ones last."""
    return tuple(
        _group(part)
        for part in _split(runs, lambda run: (_BASES.index(run.basis), run.signal_type, run.emission_factor_type))
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
        by_month=_parts(runs, month=True),
        by_model=_parts(runs, model=True),
        cells=_parts(runs, month=True, model=True),
    )


def _parts(runs: Sequence[SavingsRun], *, month: bool = False, model: bool = False) -> tuple[Part, ...]:
    return tuple(
        Part(month=part[0].month if month else None, model=part[0].model if model else None, figures=figures_of(part))
        for part in _split(runs, lambda run: (run.month * month, run.model * model))
    )


def _split(runs: Sequence[SavingsRun], key: Callable[[SavingsRun], tuple[int | str, ...]]) -> list[list[SavingsRun]]:
    return [list(part) for _, part in groupby(sorted(runs, key=key), key=key)]


def _sum_if_all(values: Iterable[float | None]) -> float | None:
    """Return the sum; None where nothing is known, or not of all: a sum over some would pass for the whole."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) if known and len(known) == len(found) else None
