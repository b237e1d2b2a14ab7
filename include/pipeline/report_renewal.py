"""Renews reports when more is known than when they were written: actual figures, or the hours up to a deadline."""

import json
from collections.abc import Set
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from include.config import ReportConfig
from include.errors import LowtideError
from include.moments import format_moment, parse_moment
from include.pipeline.run_folder import RunFolder
from include.pipeline.wait_evidence import wait_evidence
from include.report import Report, compare_repeats, load_record, write_report


class Renewed(NamedTuple):
    """The reports that were written anew, and in sentences those that could not be."""

    reports: list[Path]
    failures: list[str]


def renew_reports(
    artifacts_root: Path, settled: Set[Path], recent: Set[Path], *, settings: ReportConfig, now: datetime
) -> Renewed:
    """Write reports anew that rest on a settled run, or whose run may be told its oracle now that its deadline is over.

    :param settled: resolved folders of runs that were just booked again.
    :param recent: resolved folders of runs whose grid's history may have grown.
    """
    done = Renewed([], [])
    for path in sorted(artifacts_root.glob("reports/*/*/report.json")):
        try:
            report = json.loads(path.read_bytes())
            baselines, runs = _sides(report)
            stale = bool(settled & {*baselines, *runs})
            if not stale and not (runs[0] in recent and _waits_for_its_oracle(report, now)):
                continue
            found = _compared(baselines, runs, artifacts_root, settings, now)
            if stale or found.waiting.oracle is not None:
                write_report(found, path.parent)
                done.reports.append(path)
        except (OSError, ValueError, KeyError, TypeError, LowtideError) as error:
            done.failures.append(f"{path} was not renewed: {error}")
    return done


def _sides(report: dict[str, Any]) -> tuple[list[Path], list[Path]]:
    repeats = report.get("repeats")
    baselines = repeats["baselines"] if repeats else [report["baseline"]] if report["baseline"] else []
    runs = repeats["runs"] if repeats else [report["run"]]
    folders = [[Path(side["ledger_path"]).resolve().parent for side in sides] for sides in (baselines, runs)]
    return folders[0], folders[1]


def _waits_for_its_oracle(report: dict[str, Any], now: datetime) -> bool:
    waiting = report["waiting"]
    deadline = waiting.get("deadline")
    return waiting.get("oracle") is None and deadline is not None and parse_moment(deadline) <= now


def _compared(
    baselines: list[Path], runs: list[Path], artifacts_root: Path, settings: ReportConfig, now: datetime
) -> Report:
    records = [load_record(folder) for folder in runs]
    return compare_repeats(
        [load_record(folder) for folder in baselines],
        records,
        settings=settings,
        now=now,
        notes=[f"renewed on {format_moment(now)}, after actual figures of the grid had come in"],
        evidence=[
            wait_evidence(record, RunFolder(folder), artifacts_root, now=now)
            for record, folder in zip(records, runs, strict=True)
        ],
    )
