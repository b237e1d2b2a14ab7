"""Renews reports when more is known than when they were written: actual figures, or the hours up to a deadline."""

import itertools
import json
from collections.abc import Set
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from include.config import ReportConfig
from include.errors import LowtideError
from include.moments import format_moment, parse_moment
from include.pipeline.run_folder import RunFolder
from include.pipeline.waiting.evidence import wait_evidence
from include.report import Report, compare_repeats, load_record, write_report


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

    :param settled: resolved folders of runs that were just booked again.
    :param recent: resolved folders of runs whose grid's history may have grown.
    """
    done = Renewed([], [])
    for path in _reports(artifacts_root):
        try:
            report = json.loads(path.read_bytes())
            baselines, runs = ([_folder(side) for side in sides] for sides in _sides(report))
            stale = bool(settled & {*baselines, *runs}) or any(map(_is_behind, itertools.chain(*_sides(report))))
            if not stale and not (runs[0] in recent and _waits_for_its_oracle(report, now)):
                continue
            found = _compared(baselines, runs, artifacts_root, _own(settings, report), _chosen(report), now)
            if stale or found.waiting.oracle is not None:
                write_report(found, path.parent)
                done.reports.append(path)
        except (OSError, ValueError, KeyError, TypeError, LowtideError) as error:
            done.failures.append(f"{path} was not renewed: {error}")
    return done


def _reports(artifacts_root: Path) -> list[Path]:
    """Return the reports of Airflow's runs, and those of the command line, which lie a folder higher."""
    return sorted((*artifacts_root.glob("reports/*/report.json"), *artifacts_root.glob("reports/*/*/report.json")))


def _sides(report: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    repeats = report.get("repeats")
    if repeats:
        return repeats["baselines"], repeats["runs"]
    return [report["baseline"]] if report["baseline"] else [], [report["run"]]


def _folder(side: dict[str, Any]) -> Path:
    return Path(side["ledger_path"]).resolve().parent


def _is_behind(side: dict[str, Any]) -> bool:
    """Whether the record of this very training is another one by now; that of a later training in its place is not its."""
    try:
        record = json.loads((_folder(side) / "record.json").read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(record, dict) or record.get("ledger_sha256") == side["ledger_sha256"]:
        return False
    return all(record.get(name) == side[name] for name in ("run_id", "started_at", "energy_kwh"))


def _waits_for_its_oracle(report: dict[str, Any], now: datetime) -> bool:
    waiting = report["waiting"]
    deadline = waiting.get("deadline")
    return waiting.get("oracle") is None and deadline is not None and parse_moment(deadline) <= now


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
    report = compare_repeats(
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
