"""Renews reports when more is known than when they were written: actual figures, or the hours up to a deadline."""

import itertools
import json
import logging
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from lowtide.config.schema import ReportConfig
from lowtide.errors import ArtifactError, LedgerInUse, LowtideError, MeasurementError
from lowtide.grid.history import HistoryStore
from lowtide.records import LedgerEventKind
from lowtide.report.compare import compare_replicates
from lowtide.report.files import load_record, write_report
from lowtide.report.model import Report
from lowtide.report.savings import TrainingFolder, training_folders
from lowtide.runs.account import read_back_where
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures, SettledRun, grid_of, settle_run
from lowtide.timeutil import format_moment, parse_moment
from lowtide.tracker.ledger import LedgerContents

# Reads back what killed, failed and stopped runs used, where nobody else will: their process is gone, and no record was left.
#
# Nothing is taken from an attempt that may still follow: only what is derived is written, and ``begin`` removes it again.


_log = logging.getLogger(__name__)

QUIET = timedelta(hours=1)
"""A ledger that nobody touched for so long is of a run that is gone: one that goes on touches it every few seconds."""
PAUSED_QUIET = timedelta(days=7)
"""A pause ends when the grid is clean again, within days; after so long, its run was given up."""


@dataclass(slots=True, kw_only=True)
class LeftRuns:
    """The runs that were read back, and in sentences those that could not be."""

    read_back: list[RunFolder] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def read_back_left_runs(artifacts_root: Path, *, now: datetime) -> LeftRuns:
    """Read back every run without a record whose ledger nobody touched in the last hour, however old it is.

    Of any grid, replayed too. One that used nothing is no run; one that another process holds is left alone.
    """
    done = LeftRuns()
    for folder in _without_record(artifacts_root):
        try:
            if _last_sign(folder) <= now - QUIET and _is_read_back(folder, now):
                done.read_back.append(folder)
        except (LedgerInUse, MeasurementError) as error:
            _log.info("%s is not read back: %s", folder.path, error)
        except (LowtideError, OSError) as error:
            done.failures.append(f"not read back: {error}")
    return done


def _without_record(artifacts_root: Path) -> Iterator[RunFolder]:
    for found in training_folders(artifacts_root):
        folder = RunFolder(found.path)
        if folder.ledger.exists() and not folder.record.exists() and not _is_half_moved(found):
            yield folder


def _is_half_moved(found: TrainingFolder) -> bool:
    # of a finished training whose record has not followed yet: begin moves it last
    return found.superseded and found.path.name.startswith("finished-")


def _is_read_back(folder: RunFolder, now: datetime) -> bool:
    def left(contents: LedgerContents) -> bool:
        quiet = PAUSED_QUIET if _is_paused(contents) else QUIET
        return _last_sign(folder) <= now - quiet  # looked at again: an attempt may have begun meanwhile

    return read_back_where(folder, left) is not None


def _is_paused(contents: LedgerContents) -> bool:
    last = contents.events[-1] if contents.events else None
    return last is not None and last.event is LedgerEventKind.CLOSED and last.details.get("outcome") == "paused"


def _last_sign(folder: RunFolder) -> datetime:
    """Return when a run last gave a sign of life: a row, a touch while the disk was full, or the beginning of an attempt."""
    try:
        touched_s = folder.ledger.stat().st_mtime
        begun_s = folder.identity.stat().st_mtime if folder.identity.exists() else 0.0
    except OSError as error:
        raise ArtifactError(f"{folder.path}: cannot be read ({error.strerror})") from error
    return datetime.fromtimestamp(max(touched_s, begun_s), UTC)


class Renewed(NamedTuple):
    """The reports that were written anew, and in sentences those that could not be."""

    reports: list[Path]
    failures: list[str]


def renew_reports(
    artifacts_root: Path, settled: Set[Path], recent: Set[Path], *, settings: ReportConfig, now: datetime
) -> Renewed:
    """Write reports anew that rest on a settled run, or whose run may be told its oracle now that its deadline is over.

    A report also counts as stale whose run was settled elsewhere (``lowtide settle``) or at a time when the report could not
    be written: it would say for ever what its record says no more.

    :param settled: resolved folders of runs that were just settled.
    :param recent: resolved folders of runs whose grid's history may have grown.
    """
    done = Renewed([], [])
    for path in _reports(artifacts_root):
        try:
            report = json.loads(path.read_bytes())
            baselines, runs = ([_folder(side) for side in sides] for sides in _sides(report))
            stale = bool(settled & {*baselines, *runs}) or any(map(_is_behind, itertools.chain(*_sides(report))))
            if not stale and not (runs[0] in recent and _waits_for_perfect_foresight(report, now)):
                continue
            found = _compared(baselines, runs, artifacts_root, _own(settings, report), _chosen(report), now)
            if stale or found.waiting.perfect_foresight is not None:
                write_report(found, path.parent)
                done.reports.append(path)
        except (OSError, ValueError, KeyError, TypeError, LowtideError) as error:
            done.failures.append(f"{path} was not renewed: {error}")
    return done


def _reports(artifacts_root: Path) -> list[Path]:
    """Return the reports of Airflow's runs, and those of the command line, which lie a folder higher."""
    return sorted((*artifacts_root.glob("reports/*/report.json"), *artifacts_root.glob("reports/*/*/report.json")))


def _sides(report: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    replicates = report.get("replicates")
    if replicates:
        return replicates["baselines"], replicates["runs"]
    return [report["baseline"]] if report["baseline"] else [], [report["run"]]


def _folder(side: dict[str, Any]) -> Path:
    return Path(side["ledger_path"]).resolve().parent


def _is_behind(side: dict[str, Any]) -> bool:
    """Whether the record of this very training is another one by now; that of a later training in its place is not its."""
    try:
        record = json.loads((_folder(side) / "record.json").read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(record, dict) or record.get("emissions_gco2eq") == side["emissions_gco2eq"]:
        return False
    return all(record.get(name) == side[name] for name in ("run_id", "started_at", "ledger_sha256"))


def _waits_for_perfect_foresight(report: dict[str, Any], now: datetime) -> bool:
    waiting = report["waiting"]
    deadline = waiting.get("deadline")
    return waiting.get("perfect_foresight") is None and deadline is not None and parse_moment(deadline) <= now


def _own(settings: ReportConfig, report: dict[str, Any]) -> ReportConfig:
    """Return the settings with the repeatability that the report was written with: new figures, but no new rules."""
    percent = report.get("repeatability_percent")
    return settings if percent is None else settings.model_copy(update={"repeatability_percent": float(percent)})


def _chosen(report: dict[str, Any]) -> list[str]:
    """Return what was said about the choice of the baseline: only who chose it knew, and a renewal does not choose again."""
    return [str(note) for note in report.get("baseline_notes") or []]


def _compared(
    baselines: list[Path],
    runs: list[Path],
    artifacts_root: Path,
    settings: ReportConfig,
    chosen: list[str],
    now: datetime,
) -> Report:
    records = [load_record(folder) for folder in runs]
    report = compare_replicates(
        [load_record(folder) for folder in baselines],
        records,
        settings=settings,
        now=now,
        notes=chosen,
        evidence=[
            wait_evidence(record, RunFolder(folder), artifacts_root, now=now)
            for record, folder in zip(records, runs, strict=True)
        ],
    )
    renewed = f"renewed on {format_moment(now)}, after actual figures of the grid had come in"
    return report.model_copy(update={"notes": (renewed, *report.notes)})


# Settles the recent runs of one grid from its history, and renews the reports that rest on them.


@dataclass(slots=True, kw_only=True)
class Settling:
    """What was looked at and what came of it."""

    looked_at: int = 0
    settled: list[SettledRun] = field(default_factory=list)
    reports: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping."""
        return {
            "looked_at": self.looked_at,
            "settled": [_summary(run) for run in self.settled],
            "reports": [str(path) for path in self.reports],
            "failures": self.failures,
        }


def settle_recent_runs(
    artifacts_root: Path, history: HistoryStore, *, now: datetime, look_back: timedelta, settings: ReportConfig
) -> Settling:
    """Settle every run of the history's grid that ended in the last days; one that cannot be is told, the others go on."""
    done, recent = Settling(), list(_recent(artifacts_root, history, now - look_back))
    for folder in recent:
        done.looked_at += 1
        try:
            run = settle_run(folder, ActualFigures(now=now, history=history), now=now)
        except LowtideError as error:
            done.failures.append(str(error))
            continue
        if run.changed:
            done.settled.append(run)
    renewed = renew_reports(
        artifacts_root,
        {run.folder.path.resolve() for run in done.settled},
        {folder.path.resolve() for folder in recent},
        settings=settings,
        now=now,
    )
    done.reports += renewed.reports
    done.failures += renewed.failures
    return done


def _recent(artifacts_root: Path, history: HistoryStore, since: datetime) -> Iterator[RunFolder]:
    for path in sorted((*artifacts_root.glob("runs/*/record.json"), *artifacts_root.glob("runs/*/*/record.json"))):
        folder = RunFolder(path.parent)
        if RunFolder(path.parent.parent).ledger.exists():
            continue  # what a run keeps in its own folder (finished-1) is no run
        try:
            data = json.loads(path.read_bytes())
            if data.get("replay") is None and parse_moment(data["ended_at"]) >= since and _is_of(folder, data, history):
                yield folder
        except (OSError, ValueError, KeyError, TypeError, AttributeError, LowtideError) as error:
            _log.info("%s is passed over: %s", path, error)


def _is_of(folder: RunFolder, record: dict[str, Any], history: HistoryStore) -> bool:
    """Whether a run was valued at the grid whose history this is; a region's figures are not its country's."""
    key = history.key
    if (record["zone"], record["signal_type"], record["emission_factor_type"]) != (
        key.zone,
        key.signal_type,
        key.emission_factor_type,
    ):
        return False
    grid = grid_of(folder)
    return key.source == (f"{grid.provider}-{grid.region}" if grid.region else grid.provider)


def _summary(run: SettledRun) -> dict[str, Any]:
    return {
        "run_id": run.after.run_id,
        "record": str(run.folder.record),
        "before_gco2eq": run.before.emissions_gco2eq,
        "after_gco2eq": run.after.emissions_gco2eq,
        "unsettled_energy_share": run.unsettled_energy_share,
    }
