"""Settles the recent runs of one grid from its history, and renews the reports that rest on them."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from include.config import ReportConfig
from include.errors import LowtideError
from include.moments import format_moment, parse_moment
from include.pipeline.actuals import ActualFigures
from include.pipeline.run_folder import RunFolder
from include.pipeline.settling import SettledRun, settle_run
from include.pipeline.settling_sources import grid_of
from include.report import compare_runs, load_record, write_report
from include.scheduler.history import HistoryStore

_log = logging.getLogger(__name__)


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
    done = Settling()
    for folder in _recent(artifacts_root, history, now - look_back):
        done.looked_at += 1
        try:
            run = settle_run(folder, ActualFigures(now=now, history=history), now=now)
        except LowtideError as error:
            done.failures.append(str(error))
            continue
        if run.changed:
            done.settled.append(run)
    if done.settled:
        _renew_reports(artifacts_root, done, settings, now)
    return done


def _recent(artifacts_root: Path, history: HistoryStore, since: datetime) -> Iterator[RunFolder]:
    for path in sorted(artifacts_root.glob("runs/*/*/record.json")):
        folder = RunFolder(path.parent)
        try:
            data = json.loads(path.read_bytes())
            if data.get("replay") is None and parse_moment(data["ended_at"]) >= since and _is_of(folder, data, history):
                yield folder
        except (OSError, ValueError, KeyError, TypeError, AttributeError, LowtideError) as error:
            _log.info("%s is passed over: %s", path, error)


def _is_of(folder: RunFolder, record: dict[str, Any], history: HistoryStore) -> bool:
    """Whether a run was booked at the grid whose history this is; a region's figures are not its country's."""
    key = history.key
    if (record["zone"], record["signal_type"], record["emission_factor_type"]) != (
        key.zone,
        key.signal_type,
        key.emission_factor_type,
    ):
        return False
    grid = grid_of(folder)
    return key.source == (f"{grid.provider}-{grid.region}" if grid.region else grid.provider)


def _renew_reports(artifacts_root: Path, done: Settling, settings: ReportConfig, now: datetime) -> None:
    settled = {run.folder.path.resolve() for run in done.settled}
    for path in sorted(artifacts_root.glob("reports/*/*/report.json")):
        try:
            report = json.loads(path.read_bytes())
            sides = [report["run"], report["baseline"]] if report["baseline"] else [report["run"]]
            folders = [Path(side["ledger_path"]).resolve().parent for side in sides]
            if not settled & set(folders):
                continue
            records = [load_record(folder) for folder in folders]
            note = f"renewed on {format_moment(now)}, after actual figures of the grid had come in"
            baseline = records[1] if len(records) > 1 else None
            write_report(compare_runs(baseline, records[0], settings=settings, now=now, notes=[note]), path.parent)
            done.reports.append(path)
        except (OSError, ValueError, KeyError, TypeError, LowtideError) as error:
            done.failures.append(f"{path} was not renewed: {error}")


def _summary(run: SettledRun) -> dict[str, Any]:
    return {
        "run_id": run.after.run_id,
        "record": str(run.folder.record),
        "before_gco2eq": run.before.emissions_gco2eq,
        "after_gco2eq": run.after.emissions_gco2eq,
        "unsettled_energy_share": run.unsettled_energy_share,
    }
