"""``lowtide backtest``: what a policy would have saved on a grid's past."""

import argparse
import shutil
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table

from lowtide.cli.options import number, print_json, reader
from lowtide.config.schema import PolicyName
from lowtide.config.zones import find_zone, is_cloud_region, zone_table
from lowtide.errors import ConfigurationError
from lowtide.timeutil import parse_duration

if TYPE_CHECKING:
    from lowtide.scheduler.backtest.results import Backtest
    from lowtide.scheduler.backtest.simulate import SimConfig

EXAMPLES = """examples:
  lowtide backtest --trace GB_2023.csv.gz --history GB_2022.csv.gz
  lowtide backtest --trace GB_2023.csv.gz --history GB_2022.csv.gz --policy window,percentile --submit random --plot gb.png
  lowtide backtest --trace DE_2023.csv --history DE_2022.csv --policy window,interruptible --duration 24h,48h --slack 3d
  lowtide backtest --trace mine.csv --zone DE --forecast perfect --duration 2h --slack 12h --starts starts.csv --json

files: CSV, plain or gzip, with timestamp (UTC, start of interval) and carbon_intensity_gco2eq_per_kwh, every 60, 30, 15 or 5
       minutes; the zone is the beginning of the trace's name, or --zone
"""
DURATIONS = "1h,2h,4h,8h"
SLACKS = "4h,8h,12h,24h,48h"


def _policies(text: str) -> tuple[PolicyName, ...]:
    known: tuple[PolicyName, ...] = get_args(PolicyName)
    names = dict.fromkeys(part.strip() for part in text.split(","))
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not a policy; choose among {', '.join(known)}")
    return tuple(policy for name in names for policy in known if policy == name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments; they have the names of the fields of ``SimConfig`` that they set."""
    _add_files_and_jobs(parser)
    _add_policies(parser)


def _add_files_and_jobs(parser: argparse.ArgumentParser) -> None:
    file: dict[str, Any] = {"metavar": "FILE", "type": Path}
    add = parser.add_argument_group("files").add_argument
    add("--trace", **file, required=True, help="the trace that the policies run on")
    add("--history", **file, nargs="+", action="extend", default=[], help="what was before, in any order")
    add("--zone", help="default: the beginning of the trace's name")
    timezone = reader(ZoneInfo, "cannot be used; write a name of the IANA table, e.g. Europe/London")
    add("--timezone", metavar="TZ", type=timezone, help="of --submit, e.g. Europe/London (default: the zone's)")
    add("--starts", **file, help="write when every job ran, as CSV")
    add("--plot", **file, help="draw intensity, chosen blocks and waits (.png, .svg or .pdf)")
    add("--workers", type=number(1, 256, whole=True), help="processes (default: as many as pay off)")
    add = parser.add_argument_group("jobs; deadline = submission + duration + slack").add_argument
    times = reader(
        lambda text: tuple(dict.fromkeys(map(parse_duration, text.split(",")))),
        "cannot be used; write durations like 1h,2h30m",
    )
    add("--duration", dest="durations", type=times, default=DURATIONS, help=f"default: {DURATIONS}")
    add("--slack", dest="slacks", type=times, default=SLACKS, help=f"default: {SLACKS}")
    add("--submit", default="22:00", help="daily at this local time (default 22:00), or random: one full hour a day")
    add("--seed", type=number(0, 2**63 - 1, whole=True), default=0, help="of random submissions (default 0)")
    pauses = "jobs may pause: policy window plans with pauses, and so does perfect foresight"
    add("--interruptible", action="store_true", help=pauses)


def _add_policies(parser: argparse.ArgumentParser) -> None:
    time: dict[str, Any] = {
        "metavar": "TIME",
        "type": reader(parse_duration, "cannot be used; write a duration like 30m, 2h or 1h30m"),
    }
    grams: dict[str, Any] = {"metavar": "G", "type": number(0, 1e6)}
    add = parser.add_argument_group("policies").add_argument
    several = "default: window; several with commas between"
    add("--policy", dest="policies", type=_policies, default="window", help=several)
    known = "default: history, from what had ended before each check"
    add("--forecast", choices=("history", "perfect"), default="history", help=known)
    add("--threshold", dest="threshold_gco2eq_per_kwh", **grams, help="g/kWh, for policy threshold")
    add("--percentile", metavar="P", type=number(0.001, 99.999), default=30.0, help="default: 30")
    add("--percentile-window", **time, default="7d", help="default: 7d")
    add("--run-now-below", dest="run_now_below_gco2eq_per_kwh", **grams, help="g/kWh at which a job starts at once")
    gain: dict[str, Any] = {"dest": "minimum_gain_percent", "metavar": "PERCENT", "type": number(0, 99.9)}
    add("--minimum-gain", **gain, default=0.0, help="do not wait for less (default: 0)")
    add("--jitter", **time, default=timedelta(0), help="spread starts over this (default: none)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    # numpy: a tenth of a second for this command only
    from lowtide.scheduler.backtest.plot import check_picture_path, draw
    from lowtide.scheduler.backtest.results import run_backtest, write_starts
    from lowtide.scheduler.backtest.trace import read_grid

    grid = read_grid(options.trace, options.history)  # first: a missing file must not be reported as a missing zone
    config = _config_of(options)
    if options.plot:
        check_picture_path(options.plot)
    backtest = run_backtest(config, grid, workers=options.workers)
    if options.starts:
        write_starts(options.starts, backtest)
    if options.plot:
        draw(backtest, options.plot)
    if options.json:
        for note in backtest.notes:
            print(f"lowtide: {note}", file=sys.stderr)
        print_json([line.result for line in backtest.lines])
    else:
        _show(backtest)


def _config_of(options: argparse.Namespace) -> "SimConfig":
    from lowtide.scheduler.backtest.simulate import SimConfig

    if "threshold" in options.policies and options.threshold_gco2eq_per_kwh is None:
        raise ConfigurationError("--policy threshold needs --threshold; give one in g/kWh, e.g. 150")
    values = vars(options)
    zone, timezone = _zone_and_timezone(options.trace, options.zone, options.timezone)
    given = {field.name: values[field.name] for field in fields(SimConfig) if field.name in values}
    return SimConfig(**given | {"zone": zone, "timezone": timezone})


def _zone_and_timezone(trace: Path, zone: str | None, timezone: ZoneInfo | None) -> tuple[str, ZoneInfo]:
    """Return the trace's zone, from ``--zone`` or the file's name, and the time zone of its clocks.

    A zone that is not in the zone table is only a name, so it will do as long as the time zone is given.
    """
    key = zone or trace.name.split("_")[0].removesuffix(".gz").removesuffix(".csv")
    known = key in zone_table() or is_cloud_region(key)
    if not zone and not known:
        raise ConfigurationError(f"{trace.name} does not begin with a zone, as DE_2023.csv does; give --zone")
    if not known and timezone is not None:
        return key, timezone
    found = find_zone(key)
    return found.key, timezone or found.timezone


# What the command prints for people.

_WIDTH = 100
_COLUMNS = {
    "duration": ("duration_h", "{:g} h"),
    "slack": ("slack_h", "{:g} h"),
    "jobs": ("jobs", "{:,}"),
    "saving": ("saving_percent", "{:.1f} %"),
    "foresight": ("oracle_saving_percent", "{:.1f} %"),
    "captured": ("captured_percent", "{:.0f} %"),
    "wait": ("mean_wait_h", "{:.1f} h"),
    "p95": ("p95_wait_h", "{:.1f} h"),
    "missed": ("deadline_misses", "{:,}"),
    "segments": ("mean_segments", "{:.2f}"),
}
"""Column of the table after the policy's: key of a result, and how it is written."""


def _show(backtest: "Backtest") -> None:
    """Print a table of all scenarios, what they come to together, and the notes."""
    console = Console(width=min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns), highlight=False)
    console.print(_heading(backtest), markup=False, soft_wrap=True)
    console.print(_table([line.result for line in backtest.lines]))
    for text in (*_pooled(backtest), *_legend(backtest.config), *backtest.notes):
        console.print(text, markup=False, soft_wrap=True)


def _heading(backtest: "Backtest") -> str:
    config, actual = backtest.config, backtest.grid.actual
    first, last = (datetime.fromtimestamp(s, UTC) for s in (actual.start_s, actual.end_s))
    random = config.submit == "random"
    when = f"once a day at a random full hour (seed {config.seed})" if random else f"daily at {config.submit}"
    known = "perfect forecast" if config.forecast == "perfect" else "forecast from history only"
    return (
        f"{config.zone}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, steps of {actual.step_s / 60:g} min;"
        f" jobs submitted {when}, {config.timezone.key}; {known}"
    )


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for before, result in zip([None, *results], results, strict=False):
        if before and (before["policy"], before["duration_h"]) != (result["policy"], result["duration_h"]):
            table.add_section() if before["policy"] != result["policy"] else table.add_row()
        cells = ("–" if result[key] is None else form.format(result[key]) for key, form in _COLUMNS.values())
        table.add_row(result["policy"] + ("*" if result["interruptible"] else ""), *cells)
    return table


def _pooled(backtest: "Backtest") -> list[str]:
    """Return what each policy captures over all its lines."""
    from lowtide.scheduler.backtest.results import pooled_captured_percent

    texts = []
    for policy in dict.fromkeys(backtest.config.policies):
        results = [line.result for line in backtest.lines if line.scenario.policy == policy]
        share = pooled_captured_percent(results)
        if share is not None:
            texts.append(f"{policy}: {share:.1f} % of the saving with perfect foresight, over {len(results)} lines")
    return texts


def _legend(config: "SimConfig") -> list[str]:
    lines = [
        "saving: compared with starting at once; foresight: the saving with perfect foresight; captured: the",
        "policy's share of it; wait: by how much a job ends later than one that starts at once, mean and p95",
        "missed: jobs that end after their deadline; segments: pieces that a job runs in, mean (1: no pause)",
    ]
    if any(scenario.interruptible for scenario in config.scenarios()):
        lines.append("*: jobs may pause, with perfect foresight too; what resuming costs is counted")
    return lines
