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
from include.moments import parse_moment
from include.pipeline.run_folder import RunFolder
from include.pipeline.settling.actuals import ActualFigures
from include.pipeline.settling.report_renewal import renew_reports
from include.pipeline.settling.run import SettledRun, settle_run
from include.pipeline.settling.sources import grid_of
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
            continue  # what a run keeps in its own folder (booked, finished-1) is no run: its first booking must stay
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


def _summary(run: SettledRun) -> dict[str, Any]:
    return {
        "run_id": run.after.run_id,
        "record": str(run.folder.record),
        "before_gco2eq": run.before.emissions_gco2eq,
        "after_gco2eq": run.after.emissions_gco2eq,
        "unsettled_energy_share": run.unsettled_energy_share,
    }
