"""``lowtide backtest``: what a policy would have saved on a grid's past."""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich import box
from rich.console import Console
from rich.table import Table

from lowtide.cli.options import print_json
from lowtide.config.schema import PolicyName
from lowtide.config.zones import find_zone, is_cloud_region, zone_table
from lowtide.errors import ConfigurationError
from lowtide.timeutil import format_duration, parse_duration

if TYPE_CHECKING:
    from lowtide.scheduler.backtest.results import Backtest
    from lowtide.scheduler.backtest.simulate import SimConfig


# The arguments of ``lowtide backtest``, and how a person's words become its plan.


DURATIONS = "1h,2h,4h,8h"
SLACKS = "4h,8h,12h,24h,48h"
_PAUSING = ("minimum_slice", "resume_time", "resume_energy", "maximum_pauses")
_AS_THEY_ARE = (
    "submit", "seed", "interruptible", "forecast", "history_limit", "poll", "decide_once", "duration_error",
    "percentile", "percentile_window", "jitter",
)  # fmt: skip


def duration(name: str) -> Callable[[str], timedelta]:
    """Return a reader of one duration."""

    def read(text: str) -> timedelta:
        try:
            return parse_duration(text.strip())
        except ValueError as error:
            raise ConfigurationError(f"{name} {text!r} cannot be used; {error}") from None

    return read


def duration_from(name: str, least: timedelta) -> Callable[[str], timedelta]:
    """Return a reader of one duration of at least so much."""
    read = duration(name)

    def read_checked(text: str) -> timedelta:
        value = read(text)
        if value < least:
            raise ConfigurationError(
                f"{name} {text!r} is too short; give {format_duration(least)} or more: no grid is known so finely, and every"
                " look costs time"
            )
        return value

    return read_checked


def time_or_none(name: str) -> Callable[[str], timedelta]:
    """Return a reader of one duration that may also be 0."""
    read = duration(name)
    return lambda text: timedelta(0) if text.strip() in ("0", "0s", "0m", "0h") else read(text)


def durations(name: str) -> Callable[[str], tuple[timedelta, ...]]:
    """Return a reader of durations with commas between them."""
    return lambda text: tuple(dict.fromkeys(map(duration(name), text.split(","))))


def number(name: str, least: float, most: float) -> Callable[[str], float]:
    """Return a reader of a number within two limits, both allowed."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:  # not-a-number is refused here too
            raise ConfigurationError(f"{name} {text!r} cannot be used; give a number from {least:g} to {most:g}")
        return value

    return read


def whole(name: str, least: int, most: int) -> Callable[[str], int]:
    """Return a reader of a whole number within two limits, both allowed."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or not least <= int(text) <= most:
            raise ConfigurationError(f"{name} {text!r} cannot be used; give a whole number from {least} to {most}")
        return int(text)

    return read


def policies(text: str) -> tuple[PolicyName, ...]:
    """Read policies with commas between them.

    :raises ConfigurationError: an unknown one.
    """
    found: list[PolicyName] = []
    for name in (part.strip() for part in text.split(",")):
        known = [policy for policy in get_args(PolicyName) if policy == name]
        if not known:
            raise ConfigurationError(f"--policy {name!r} is not known; choose among {', '.join(get_args(PolicyName))}")
        found += known
    return tuple(dict.fromkeys(found))


def timezone(text: str) -> ZoneInfo:
    """Read a time zone's name.

    :raises ConfigurationError: an unknown one.
    """
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"--timezone {text!r} is not known; write a name of the IANA table, e.g. Europe/London"
        ) from None


def zone_and_timezone(options: argparse.Namespace) -> tuple[str, ZoneInfo]:
    """Return the trace's zone, from ``--zone`` or the file's name, and the time zone of its clocks.

    A zone that is not in the zone table is only a name, so it will do as long as the time zone is given.

    :raises ConfigurationError: no zone, or none whose time zone is known.
    """
    trace: Path = options.trace
    key = options.zone or trace.name.split("_")[0].removesuffix(".gz").removesuffix(".csv")
    known = key in zone_table() or is_cloud_region(key)
    if not options.zone and not known:
        raise ConfigurationError(f"{trace.name} does not begin with a zone, as DE_2023.csv does; give --zone")
    if not known and options.timezone is not None:
        return key, options.timezone
    zone = find_zone(key)
    return zone.key, options.timezone or zone.timezone


def config_of(options: argparse.Namespace) -> "SimConfig":
    """Return the plan that the arguments mean.

    :raises ConfigurationError: arguments that do not go together.
    """
    from lowtide.config.schema import PausingConfig
    from lowtide.scheduler.backtest.simulate import SimConfig  # numpy: a tenth of a second for this command only

    if "threshold" in options.policy and options.threshold is None:
        raise ConfigurationError("--policy threshold needs --threshold; give one in g/kWh, e.g. 150")
    zone, zone_time = zone_and_timezone(options)
    return SimConfig(
        zone=zone,
        timezone=zone_time,
        policies=options.policy,
        durations=options.duration,
        slacks=options.slack,
        threshold_gco2eq_per_kwh=options.threshold,
        minimum_gain_percent=options.minimum_gain,
        run_now_below_gco2eq_per_kwh=options.run_now_below,
        pausing=PausingConfig(**{name: getattr(options, name) for name in _PAUSING}),
        **{name: getattr(options, name) for name in _AS_THEY_ARE},
    )


EXAMPLES = """examples:
  lowtide backtest --trace GB_2023.csv.gz --history GB_2022.csv.gz
  lowtide backtest --trace GB_2023.csv.gz --history GB_2022.csv.gz --policy window,percentile --submit random --plot gb.png
  lowtide backtest --trace DE_2023.csv --history DE_2022.csv --policy window,interruptible --duration 24h,48h --slack 3d
  lowtide backtest --trace mine.csv --zone DE --forecast perfect --duration 2h --slack 12h --starts starts.csv --json

files: CSV, plain or gzip, with timestamp (UTC, start of interval) and carbon_intensity_gco2eq_per_kwh, every 60, 30, 15 or 5
       minutes; the zone is the beginning of the trace's name, or --zone
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    _add_files(parser)
    _add_jobs(parser)
    _add_policies(parser)
    _add_pausing(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from lowtide.scheduler.backtest.plot import check_picture_path, draw
    from lowtide.scheduler.backtest.results import run_backtest, write_starts
    from lowtide.scheduler.backtest.trace import read_grid

    grid = read_grid(options.trace, options.history)  # first: a file that is not there is not to be said to lack a zone
    config = config_of(options)
    if options.plot:
        check_picture_path(options.plot)
    backtest = run_backtest(config, grid, workers=options.workers)
    if options.starts:
        write_starts(options.starts, backtest)
    if options.plot:
        draw(backtest, options.plot)
    if options.json:
        print_notes(backtest)
        print_json([line.result for line in backtest.lines])
    else:
        show(backtest)
    return 0


def _add_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument("--trace", metavar="FILE", type=Path, required=True, help="the time that is judged")
    files.add_argument(
        "--history",
        metavar="FILE",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="what was before, any order",
    )
    files.add_argument("--zone", help="default: the beginning of the trace's name")
    files.add_argument(
        "--timezone", metavar="TZ", type=timezone, help="of --submit, e.g. Europe/London (default: the zone's)"
    )
    files.add_argument("--starts", metavar="FILE", type=Path, help="write when every job ran, as CSV")
    files.add_argument("--plot", metavar="FILE.png", type=Path, help="draw intensity, chosen blocks and waits")
    files.add_argument("--workers", type=whole("--workers", 1, 256), help="processes (default: as many as pay off)")


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    jobs = parser.add_argument_group("jobs; deadline = submission + duration + slack")
    jobs.add_argument("--duration", type=durations("--duration"), default=DURATIONS, help=f"default: {DURATIONS}")
    jobs.add_argument("--slack", type=durations("--slack"), default=SLACKS, help=f"default: {SLACKS}")
    jobs.add_argument(
        "--submit", default="22:00", help="daily at this local time (default 22:00), or random: one full hour a day"
    )
    jobs.add_argument("--seed", type=whole("--seed", 0, 2**63 - 1), default=0, help="of random submissions (default 0)")
    jobs.add_argument(
        "--interruptible",
        action="store_true",
        help="jobs may pause: policy window plans with pauses, and so does the oracle",
    )
    jobs.add_argument(
        "--duration-error", metavar="FACTOR", type=number("--duration-error", 0.01, 100), default=1.0,
        help="jobs really take so many times as long as policy and deadline expect",
    )  # fmt: skip


def _add_policies(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("policies")
    rules.add_argument("--policy", type=policies, default="window", help="default: window; several with commas between")
    rules.add_argument(
        "--forecast",
        choices=("history", "perfect"),
        default="history",
        help="default: history, from what had ended before each look",
    )
    rules.add_argument(
        "--history-limit",
        metavar="TIME",
        type=duration("--history-limit"),
        help="the forecast knows no more than this, e.g. 28d",
    )
    rules.add_argument(
        "--decide-once", action="store_true", help="keep what is planned at submission, never look again"
    )
    rules.add_argument(
        "--poll",
        metavar="TIME",
        type=duration_from("--poll", timedelta(minutes=1)),
        help="time between two looks, 1m or more (default: the trace's step)",
    )
    rules.add_argument(
        "--threshold", metavar="G", type=number("--threshold", 0, 1e6), help="g/kWh, for policy threshold"
    )
    rules.add_argument(
        "--percentile", metavar="P", type=number("--percentile", 0.001, 99.999), default=30.0, help="default: 30"
    )
    rules.add_argument(
        "--percentile-window", metavar="TIME", type=duration("--percentile-window"), default="7d", help="default: 7d"
    )
    rules.add_argument(
        "--run-now-below",
        metavar="G",
        type=number("--run-now-below", 0, 1e6),
        help="g/kWh at which a job starts at once",
    )
    rules.add_argument(
        "--minimum-gain",
        metavar="PERCENT",
        type=number("--minimum-gain", 0, 99.9),
        default=0.0,
        help="do not wait for less (default: 0)",
    )
    rules.add_argument(
        "--jitter",
        metavar="TIME",
        type=duration("--jitter"),
        default=timedelta(0),
        help="spread starts over this (default: none)",
    )


def _add_pausing(parser: argparse.ArgumentParser) -> None:
    pausing = parser.add_argument_group("pausing")
    pausing.add_argument(
        "--minimum-slice", metavar="TIME", type=time_or_none("--minimum-slice"), default="30m", help="default: 30m"
    )
    pausing.add_argument(
        "--resume-time", metavar="TIME", type=time_or_none("--resume-time"), default="2m", help="default: 2m"
    )
    pausing.add_argument(
        "--resume-energy",
        metavar="TIME",
        type=time_or_none("--resume-energy"),
        default="2m",
        help="of a pause and its resume, as time at full power (default: 2m)",
    )
    pausing.add_argument("--maximum-pauses", type=whole("--maximum-pauses", 0, 1000), default=10, help="default: 10")


# What ``lowtide backtest`` prints for people.


WIDTH = 100
_COLUMNS = (
    "policy", "duration", "slack", "jobs", "saving", "oracle", "captured", "wait", "p95", "missed", "segments",
)  # fmt: skip


def show(backtest: "Backtest") -> None:
    """Print a table of all combinations, what they come to together, and the notes."""
    console = Console(width=min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns), highlight=False)
    console.print(_heading(backtest), markup=False, soft_wrap=True)
    console.print(_table([line.result for line in backtest.lines]))
    for text in (*_pooled(backtest), *_legend(backtest.config), *backtest.notes):
        console.print(text, markup=False, soft_wrap=True)


def print_notes(backtest: "Backtest") -> None:
    """Print on standard error what the figures do not say."""
    for note in backtest.notes:
        print(f"lowtide: {note}", file=sys.stderr)


def _heading(backtest: "Backtest") -> str:
    config, actual = backtest.config, backtest.grid.actual
    first, last = (datetime.fromtimestamp(s, UTC) for s in (actual.start_s, actual.end_s))
    when = (
        f"once a day at a random full hour (seed {config.seed})"
        if config.submit == "random"
        else f"daily at {config.submit}"
    )
    seen = "perfect forecast" if config.forecast == "perfect" else "forecast from history only"
    return (
        f"{config.zone}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, steps of {actual.step_s / 60:g} min;"
        f" jobs submitted {when}, {config.timezone.key}; {seen}"
    )


def _table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for before, result in zip([None, *results], results, strict=False):
        if before and (before["policy"], before["duration_h"]) != (result["policy"], result["duration_h"]):
            table.add_section() if before["policy"] != result["policy"] else table.add_row()
        table.add_row(*_cells(result))
    return table


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    return (
        result["policy"] + ("*" if result["interruptible"] else ""),
        f"{result['duration_h']:g} h",
        f"{result['slack_h']:g} h",
        f"{result['jobs']:,}",
        _number(result["saving_percent"], "{:.1f} %"),
        _number(result["oracle_saving_percent"], "{:.1f} %"),
        _number(result["captured_percent"], "{:.0f} %"),
        _number(result["mean_wait_h"], "{:.1f} h"),
        _number(result["p95_wait_h"], "{:.1f} h"),
        f"{result['deadline_misses']:,}",
        _number(result["mean_segments"], "{:.2f}"),
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _pooled(backtest: "Backtest") -> list[str]:
    from lowtide.scheduler.backtest.results import pooled

    """Say what each policy captures over all its lines: the sum of savings over the sum of the oracle's savings."""
    texts = []
    for policy in dict.fromkeys(backtest.config.policies):
        results = [line.result for line in backtest.lines if line.scenario.policy == policy]
        share = pooled(results).captured
        if share is not None:
            texts.append(f"{policy}: {share:.1f} % of the oracle's saving, over {len(results)} lines")
    return texts


def _legend(config: "SimConfig") -> list[str]:
    lines = [
        "saving: emissions against starting at once; oracle: the saving with perfect knowledge; captured: the",
        "policy's share of it; wait: by how much a job ends later than one that starts at once, mean and p95",
        "missed: jobs that end after their deadline; segments: pieces that a job runs in, mean (1: no pause)",
    ]
    if any(scenario.interruptible for scenario in config.scenarios()):
        lines.append("*: jobs may pause, the oracle's too; what resuming costs is counted")
    if config.duration_error != 1:
        lines.append(f"jobs really take {config.duration_error:g} times as long as their deadlines and policies expect")
    if config.history_limit is not None and config.forecast == "history":
        lines.append(f"the forecast knows the last {format_duration(config.history_limit)} only")
    return lines
