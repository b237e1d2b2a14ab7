"""``lowtide plan``: what would be decided now, and why; nothing is started and nothing waits."""

import argparse
import shutil
from datetime import datetime, timedelta
from typing import Any

from lowtide.cli.charts import outlook_chart
from lowtide.cli.common import open_from_environment, print_json
from lowtide.cli.train import config_path
from lowtide.config.loader import load_config, parse_setting
from lowtide.config.zones import find_zone
from lowtide.grid.clock import clock_for
from lowtide.runs.durations import ExpectedDuration, expected_job
from lowtide.scheduler.job import Job
from lowtide.scheduler.waiting import DecisionEvent, look
from lowtide.timeutil import as_utc, format_duration, format_moment, utc_now

EXAMPLES = """examples:
  lowtide plan include/configs/optimized.yaml
  lowtide plan optimized.yaml --set grid.zone=DE --set grid.provider=energy_charts --set scheduler.deadline=12h
  lowtide plan optimized.yaml --json

environment: LOWTIDE_GRID_URL, LOWTIDE_GRID_TOKEN, LOWTIDE_GRID_LOGIN (address, token or password, and login for the provider)
"""
_LEAST_SHOWN, _MOST_SHOWN = timedelta(hours=6), timedelta(hours=72)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of one in include/configs")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="lay a value over the file; may be repeated"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_config(config_path(options.config), dict(parse_setting(text) for text in options.set))
    now = utc_now()
    signal, anchor = open_from_environment(config.values.grid, now, artifacts=config.artifacts_path)
    job, expected = expected_job(config, job_id="plan", submitted_at=anchor.virtual_start if anchor else now)
    looked = look(job, signal, clock_for(anchor))
    if options.json:
        print_json(_json(looked, expected))
    else:
        print("\n".join(_lines(looked, expected, shutil.get_terminal_size().columns)))
    return 0


def _lines(looked: DecisionEvent, expected: ExpectedDuration, width: int) -> list[str]:
    job, decision = looked.job, looked.decision
    lines = [decision.text, *(f"  {step}" for step in decision.steps)]
    lines.append(f"  expected duration {format_duration(expected.duration)} ({expected.source}), {_deadline(job)}")
    lines += [f"  chosen: {_span(job, *segment)}" for segment in decision.segments]
    if decision.expected_saving_percent and decision.expected_saving_interval_percent is None:
        why = "of plans in several pieces" if len(decision.segments) > 1 else "yet: too few past forecasts are known"
        lines.append(f"  how sure the expected saving is cannot be said {why}")
    return [*lines, *_chart(looked, width)]


def _span(job: Job, start: datetime, end: datetime) -> str:
    zone = find_zone(job.zone).timezone
    return f"{start.astimezone(zone):%a %d %b %H:%M %Z} to {end.astimezone(zone):%a %H:%M %Z} ({zone.key})"


def _deadline(job: Job) -> str:
    if job.deadline is None or job.latest_start is None:
        return "no deadline"
    zone = find_zone(job.zone).timezone
    finish, start = (moment.astimezone(zone) for moment in (job.deadline, job.latest_start))
    return f"finish by {finish:%a %d %b %H:%M}, latest start {start:%a %H:%M} ({zone.key})"


def _chart(looked: DecisionEvent, width: int) -> list[str]:
    prediction, job = looked.outlook.prediction, looked.job
    if prediction is None:
        return []
    start = looked.decision.decided_at
    finish = job.deadline or start + _MOST_SHOWN
    end = min(max(finish, start + _LEAST_SHOWN), start + _MOST_SHOWN, _moment(prediction.curve.end_s, start))
    if end <= start:
        return []
    title = f"gCO2eq/kWh until {end.astimezone(find_zone(job.zone).timezone):%a %d %b %H:%M}, by {prediction.source}"
    timezone = find_zone(job.zone).timezone
    return ["", title, *outlook_chart(prediction.curve, (start, end), looked.decision.segments, timezone, width=width)]


def _moment(seconds: float, like: datetime) -> datetime:
    return as_utc(datetime.fromtimestamp(seconds, like.tzinfo))


def _json(looked: DecisionEvent, expected: ExpectedDuration) -> dict[str, Any]:
    prediction = looked.outlook.prediction
    curve = None
    if prediction is not None:
        curve = {
            "source": prediction.source,
            "issued_at": format_moment(prediction.issued_at),
            "edges": [format_moment(_moment(edge, looked.decision.decided_at)) for edge in prediction.curve.edges_s],
            "carbon_intensity_gco2eq_per_kwh": [v if v == v else None for v in prediction.curve.values],  # noqa: PLR0124 NaN
        }
    return {
        "job": looked.job.as_json(),
        "expected_duration": expected.as_json(),
        "decision": looked.decision.as_json(),
        "prediction": curve,
    }
