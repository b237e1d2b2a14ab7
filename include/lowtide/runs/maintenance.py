"""What the nightly tasks do for runs: recover killed ones, settle recent ones, and renew the reports that rest on them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError, LedgerInUse, LowtideError, MeasurementError
from lowtide.grid.history import HistoryStore
from lowtide.records import AnyRecord, TrainingRecord, first_fault, read_record
from lowtide.report.compare import compare_runs, write_report
from lowtide.report.model import Report
from lowtide.report.savings import training_folders
from lowtide.runs.account import Facts, recover
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures, SettledRun, settle_run, settled_record
from lowtide.timeutil import format_time
from lowtide.tracker.ledger import LedgerWriter, read_ledger

_log = logging.getLogger(__name__)

# Recovery: the records of runs that were killed, failed or stopped, and that no attempt will resume.
#
# Only derived files are written, and ``begin`` removes them again: nothing is taken from an attempt that may still follow.


QUIET = timedelta(hours=1)
"""A ledger that was not touched for so long belongs to a run that ended: a running one touches it every few seconds."""
PAUSED_QUIET = timedelta(days=7)
"""A pause ends within days, when the grid is clean again; after so long, its run was given up."""


def recover_left_runs(artifacts_root: Path, *, now: datetime) -> tuple[list[RunFolder], list[str]]:
    """Recover every run without a record whose ledger was not touched in the last hour, of any grid and however old.

    A run without any energy, and one whose ledger another process holds, are left alone.

    :returns: the runs that were recovered, and one sentence for each that could not be.
    """
    recovered: list[RunFolder] = []
    failures: list[str] = []
    for folder in _without_record(artifacts_root):
        try:
            if _last_alive(folder) <= now - QUIET and _recover(folder, now):
                recovered.append(folder)
        except (LedgerInUse, MeasurementError) as error:
            _log.info("%s is not recovered: %s", folder.path, error)
        except (LowtideError, OSError) as error:
            failures.append(f"not recovered: {error}")
    return recovered, failures


def _without_record(artifacts_root: Path) -> Iterator[RunFolder]:
    for found in training_folders(artifacts_root):
        folder = RunFolder(found.path)
        # begin moves a finished training's record last: such a folder is half moved
        half_moved = found.superseded and found.path.name.startswith("finished-")
        if folder.ledger.exists() and not folder.record.exists() and not half_moved:
            yield folder


def _recover(folder: RunFolder, now: datetime) -> bool:
    with LedgerWriter(folder.ledger):  # no attempt begins meanwhile
        contents = read_ledger(folder.ledger)
        is_paused = bool(contents.events) and contents.events[-1].details.get("outcome") == "paused"
        quiet = PAUSED_QUIET if is_paused else QUIET
        is_empty = not (contents.events or contents.rows or contents.problems)  # killed before its opening line
        if is_empty or folder.record.exists() or _last_alive(folder) > now - quiet:
            return False
        recover(folder)
    return True


def _last_alive(folder: RunFolder) -> datetime:
    """Return when a run last wrote a row, touched its ledger because the disk was full, or began an attempt."""
    try:
        touched_s = folder.ledger.stat().st_mtime
        begun_s = folder.identity.stat().st_mtime if folder.identity.exists() else 0.0
    except OSError as error:
        raise ArtifactError(f"{folder.path}: cannot be read ({error.strerror})") from error
    return datetime.fromtimestamp(max(touched_s, begun_s), UTC)


# Settling: the recent runs of one grid, from its stored history.


@dataclass(slots=True, kw_only=True)
class SettledRuns:
    """How many runs were checked, which of them changed, the reports that were renewed, and what failed."""

    checked: int = 0
    settled: list[SettledRun] = field(default_factory=list)
    reports: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        return {
            "checked": self.checked,
            "settled": [
                {
                    "run_id": run.after.run_id,
                    "record": str(run.folder.record),
                    "before_gco2eq": run.before.emissions_gco2eq,
                    "after_gco2eq": run.after.emissions_gco2eq,
                    "unsettled_energy_share": run.unsettled_energy_share,
                }
                for run in self.settled
            ],
            "reports": [str(path) for path in self.reports],
            "failures": self.failures,
        }


def settle_recent_runs(
    artifacts_root: Path, history: HistoryStore, *, now: datetime, look_back: timedelta, settings: ReportConfig
) -> SettledRuns:
    """Settle every run of the history's grid that ended since ``look_back``; a failure does not stop the others."""
    done = SettledRuns()
    for folder in _recent(artifacts_root, history, now - look_back):
        done.checked += 1
        try:
            run = settle_run(folder, ActualFigures(now=now, history=history), now=now)
        except LowtideError as error:
            done.failures.append(str(error))
            continue
        if run.changed:
            done.settled.append(run)
    done.reports, failures = renew_reports(artifacts_root, since=now - look_back, settings=settings, now=now)
    done.failures += failures
    return done


def _recent(artifacts_root: Path, history: HistoryStore, since: datetime) -> Iterator[RunFolder]:
    for found in training_folders(artifacts_root):
        folder = RunFolder(found.path)
        if found.superseded or not folder.record.exists():
            continue
        try:
            account = read_record(folder.record)
            if account.replay is None and account.ended_at >= since and _is_of(folder, account, history):
                yield folder
        except LowtideError as error:
            _log.info("%s is skipped: %s", folder.record, error)


def _is_of(folder: RunFolder, account: AnyRecord, history: HistoryStore) -> bool:
    """Return whether a run was valued at the grid of this history; a region's figures are not its country's."""
    key = history.key
    theirs = (key.zone, key.signal_type, key.emission_factor_type)
    if (account.zone, account.signal_type, account.emission_factor_type) != theirs:
        return False
    grid = Facts(folder).grid
    return key.source == (f"{grid.provider}-{grid.region}" if grid.region else grid.provider)


# Reports are derived from records: one is written again when the records behind it have changed.


def renew_reports(
    artifacts_root: Path, *, since: datetime, settings: ReportConfig, now: datetime
) -> tuple[list[Path], list[str]]:
    """Write each report again whose runs' records have changed, or whose run can be compared with perfect foresight by now.

    :param since: deadlines before it are not checked again for perfect foresight.
    :returns: the reports that were renewed, and one sentence for each that could not be.
    """
    renewed: list[Path] = []
    failures: list[str] = []
    for path in sorted(
        (*artifacts_root.glob("reports/*/report.json"), *artifacts_root.glob("reports/*/*/report.json"))
    ):
        try:
            report = Report.model_validate_json(path.read_bytes())
            several = report.replicates
            before = several.baselines if several else (report.baseline,) if report.baseline else ()
            runs_before = several.runs if several else (report.run,)
            baselines, runs = [*map(settled_record, before)], [*map(settled_record, runs_before)]
            is_behind = [*before, *runs_before] != [*baselines, *runs]
            deadline = None if report.waiting.perfect_foresight else report.waiting.deadline
            lacks_foresight = deadline is not None and since <= deadline <= now
            if not is_behind and not lacks_foresight:
                continue
            found = _compared(report, baselines, runs, artifacts_root, settings, now)
            if is_behind or found.waiting.perfect_foresight is not None:
                write_report(found, path.parent)
                renewed.append(path)
        except ValidationError as error:
            failures.append(f"{path} was not renewed: {first_fault(error)}")
        except (OSError, LowtideError) as error:
            failures.append(f"{path} was not renewed: {error}")
    return renewed, failures


def _compared(
    report: Report,
    baselines: Sequence[TrainingRecord],
    runs: Sequence[TrainingRecord],
    artifacts_root: Path,
    settings: ReportConfig,
    now: datetime,
) -> Report:
    """Compare the same runs again, by the rules that the report was written with."""
    found = compare_runs(
        baselines,
        runs,
        settings=settings.model_copy(update={"repeatability_percent": report.repeatability_percent}),
        now=now,
        notes=report.baseline_notes,  # a renewal does not choose another baseline
        evidence=[
            wait_evidence(record, RunFolder(Path(record.ledger_path).parent), artifacts_root, now=now)
            for record in runs
        ],
    )
    renewed = f"renewed on {format_time(now)}, after actual figures of the grid had come in"
    return found.model_copy(update={"notes": (renewed, *found.notes)})
