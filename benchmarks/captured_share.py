"""What share of perfect foresight's saving each policy captures, per zone: the table of docs/scheduling.md.

Usage: .venv/bin/python -m benchmarks.captured_share FOLDER [--year 2023] [--zones DE,GB] [--json FILE]

FOLDER holds one file per zone and year, ``<ZONE>_<YEAR>.csv.gz`` or ``.csv``, with the columns ``timestamp`` (UTC, start of
the hour) and ``carbon_intensity_gco2eq_per_kwh``; the year before the evaluated one is the history. Jobs of 1, 2, 4, 8 h
with 4, 8, 12, 24, 48 h of slack, one a day at 22:00 local time and one a day at a random hour.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from lowtide.config.zones import find_zone
from lowtide.scheduler.backtest import simulate
from lowtide.scheduler.backtest.results import run_backtest
from lowtide.scheduler.backtest.simulate import SimConfig
from lowtide.scheduler.backtest.trace import Grid, read_grid
from lowtide.scheduler.decision import decide
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action

DURATIONS = tuple(timedelta(hours=h) for h in (1, 2, 4, 8))
SLACKS = tuple(timedelta(hours=h) for h in (4, 8, 12, 24, 48))
SUBMISSIONS = ("22:00", "random")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """One column of the table: a policy and what it may know."""

    name: str
    changes: dict[str, Any]
    run_job: Callable[[Job, simulate.OutlookAt], tuple[simulate.Segment, ...]] = simulate.run_job


def approaches(history: "np.ndarray[Any, Any]") -> list[Approach]:
    """Return the columns; the threshold is what a user would take from last year's values."""
    threshold = float(np.nanpercentile(history, 30))
    return [
        Approach(name="window", changes={}),
        Approach(name="window, planned once", changes={}, run_job=run_as_planned_at_submission),
        Approach(name="percentile", changes={"policies": ("percentile",)}),
        Approach(
            name="threshold",
            changes={"policies": ("threshold",), "threshold_gco2eq_per_kwh": threshold},
        ),
    ]


def run_as_planned_at_submission(job: Job, outlook_at: simulate.OutlookAt) -> tuple[simulate.Segment, ...]:
    """Return when a job runs that keeps to its first decision; without a plan it starts when it must."""
    now, state = job.submitted_at, simulate.JobState(job)
    decision = decide(job, now, outlook_at(now))
    start = now if decision.action is Action.RUN else decision.planned_start or job.latest_start or now
    *pieces, (last, _) = decision.segments or ((start, start),)
    for begin, end in pieces:
        state.stop(state.run_until(begin, end))
    state.run_until(last, simulate.NEVER)
    return tuple(state.segments)


def file_of(folder: Path, zone: str, year: int) -> Path:
    """Return the file of a zone and year."""
    found = [path for suffix in ("csv.gz", "csv") if (path := folder / f"{zone}_{year}.{suffix}").exists()]
    if not found:
        sys.exit(f"{folder} holds no {zone}_{year}.csv.gz; give the year and the year before it for each zone")
    return found[0]


def zones_of(folder: Path, year: int) -> list[str]:
    """Return the zones that have a file of the year."""
    return sorted({path.name.split(f"_{year}.")[0] for path in folder.glob(f"*_{year}.csv*")})


def measured(zone: str, grid: Grid) -> list[dict[str, Any]]:
    """Return one row per combination and approach."""
    history = grid.known[: len(grid.known) - len(grid.actual.values)]
    config = SimConfig(
        zone=zone, timezone=find_zone(zone).timezone, policies=("window",), durations=DURATIONS, slacks=SLACKS
    )
    rows = []
    for approach in approaches(history):
        for submit in SUBMISSIONS:
            with patch.object(simulate, "run_job", approach.run_job):
                # one process: another would not know of the patch
                done = run_backtest(replace(config, submit=submit, **approach.changes), grid, workers=1)
            rows += [{**line.result, "approach": approach.name} for line in done.lines]
    return rows


def captured(rows: Iterable[dict[str, Any]], approach: str, submit: str, zone: str | None = None) -> float:
    """Return the sum of the savings over the sum of those with perfect foresight, in percent."""
    chosen = [
        row for row in rows if (row["approach"], row["submit"]) == (approach, submit) and zone in (None, row["zone"])
    ]
    won, possible = (sum(float(row[key]) for row in chosen) for key in ("saving_percent", "oracle_saving_percent"))
    return 100.0 * won / possible


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table in Markdown: the share captured nightly / at random hours, the weakest zone first."""
    names = list(dict.fromkeys(row["approach"] for row in rows))
    zones = sorted({row["zone"] for row in rows}, key=lambda zone: captured(rows, names[0], SUBMISSIONS[0], zone))
    lines = [f"| zone | to be won | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for zone in [*zones, None]:
        cells = [" / ".join(f"{captured(rows, name, submit, zone):.1f}" for submit in SUBMISSIONS) for name in names]
        lines.append(f"| {zone or '**all**'} | {_possible(rows, zone)} | {' | '.join(cells)} |")
    misses = sum(row["deadline_misses"] for row in rows)
    return [*lines, "", f"Deadline misses: {misses} of {sum(row['jobs'] for row in rows):,} jobs."]


def _possible(rows: list[dict[str, Any]], zone: str | None) -> str:
    means = []
    for submit in SUBMISSIONS:
        chosen = [r["oracle_saving_percent"] for r in rows if r["submit"] == submit and zone in (None, r["zone"])]
        means.append(f"{sum(chosen) / len(chosen):.0f}")
    return f"{' / '.join(means)} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--year", type=int, default=2023)
    parser.add_argument("--zones", type=lambda text: text.split(","))
    parser.add_argument("--json", type=Path, help="also write every row there")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for zone in options.zones or zones_of(options.folder, options.year):
        paths = (file_of(options.folder, zone, year) for year in (options.year, options.year - 1))
        trace, history = paths
        rows += measured(zone, read_grid(trace, [history]))
        print(f"{zone} done", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows))
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
