"""``lowtide backtest``: what a policy would have saved on a grid's past."""

import argparse
from datetime import timedelta
from pathlib import Path

from include.cli.backtest_options import (
    DURATIONS,
    SLACKS,
    duration,
    duration_from,
    durations,
    number,
    plan_of,
    policies,
    time_or_none,
    timezone,
    whole,
)
from include.cli.printing import print_json

NAME = "backtest"
HELP = "what a policy would have saved on a grid's past, against starting at once and against perfect knowledge"
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
    # numpy takes a tenth of a second, which no other command needs to pay
    from include.cli.backtest_view import show, tell_notes  # noqa: PLC0415
    from include.scheduler.backtest import check_picture_path, draw, read_grid, run_backtest, write_starts  # noqa: PLC0415

    grid = read_grid(options.trace, options.history)  # first: a file that is not there is not to be said to lack a zone
    plan = plan_of(options)
    if options.plot:
        check_picture_path(options.plot)
    backtest = run_backtest(plan, grid, workers=options.workers)
    if options.starts:
        write_starts(options.starts, [(line.combination, line.runs) for line in backtest.lines])
    if options.plot:
        draw(backtest, options.plot)
    if options.json:
        tell_notes(backtest)
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
