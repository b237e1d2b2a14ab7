"""``lowtide plan``: what would be decided now, and why; nothing starts and nothing waits."""

import argparse
import shutil
from datetime import timedelta
from math import isnan
from typing import Any
from zoneinfo import ZoneInfo

from lowtide.cli.charts import chart
from lowtide.cli.options import add_configuration, configuration, open_from_environment, print_json
from lowtide.config.zones import find_zone
from lowtide.records import Clock
from lowtide.runs.durations import ExpectedDuration, expected_job
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import utc
from lowtide.scheduler.waiting import DecisionEvent, check
from lowtide.timeutil import format_duration, format_time, utc_now

EXAMPLES = """examples:
  lowtide plan include/configs/optimized.yaml
  lowtide plan optimized.yaml --set grid.zone=DE --set grid.provider=energy_charts --set scheduler.deadline=12h
  lowtide plan optimized.yaml --json

environment: LOWTIDE_GRID_URL, LOWTIDE_GRID_TOKEN, LOWTIDE_GRID_LOGIN (address, token or password, and login for the provider)
"""
_LEAST_SHOWN, _MOST_SHOWN = timedelta(hours=6), timedelta(hours=72)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_configuration(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    config = configuration(options)
    now = utc_now()
    signal, anchor = open_from_environment(config.values.grid, now, artifacts=config.artifacts_path)
    job, expected = expected_job(config, job_id="plan", submitted_at=anchor.virtual_start if anchor else now)
    event = check(job, signal, Clock(anchor))
    if options.json:
        print_json(_json(event, expected))
    else:
        print("\n".join(_lines(event, expected, shutil.get_terminal_size().columns)))


def _lines(event: DecisionEvent, expected: ExpectedDuration, width: int) -> list[str]:
    job, decision = event.job, event.decision
    zone = find_zone(job.zone).timezone
    lines = [decision.text, *(f"  {step}" for step in decision.steps)]
    lines.append(
        f"  expected duration {format_duration(expected.duration)} ({expected.source}), {_deadline(job, zone)}"
    )
    lines += [
        f"  chosen: {start.astimezone(zone):%a %d %b %H:%M %Z} to {end.astimezone(zone):%a %H:%M %Z} ({zone})"
        for start, end in decision.segments
    ]
    if decision.expected_saving_percent and decision.expected_saving_interval_percent is None:
        why = "the plan has several pieces" if len(decision.segments) > 1 else "too few past forecasts are known"
        lines.append(f"  no confidence interval of the expected saving: {why}")
    return [*lines, *_chart(event, zone, width)]


def _deadline(job: Job, zone: ZoneInfo) -> str:
    if job.deadline is None or job.latest_start is None:
        return "no deadline"
    finish, start = (timestamp.astimezone(zone) for timestamp in (job.deadline, job.latest_start))
    return f"finish by {finish:%a %d %b %Y %H:%M}, latest start {start:%a %H:%M} ({zone.key})"


def _chart(event: DecisionEvent, zone: ZoneInfo, width: int) -> list[str]:
    prediction = event.outlook.prediction
    if prediction is None:
        return []
    start = event.decision.decided_at
    finish = event.job.deadline or start + _MOST_SHOWN
    end = min(max(finish, start + _LEAST_SHOWN), start + _MOST_SHOWN, utc(prediction.curve.end_s))
    if end <= start:
        return []
    title = f"gCO2eq/kWh until {end.astimezone(zone):%a %d %b %H:%M}, by {prediction.source}"
    return ["", title, *chart(prediction.curve, (start, end), zone, width=width, blocks=event.decision.segments)]


def _json(event: DecisionEvent, expected: ExpectedDuration) -> dict[str, Any]:
    prediction = event.outlook.prediction
    curve = prediction and {
        "source": prediction.source,
        "issued_at": format_time(prediction.issued_at),
        "edges": [format_time(utc(edge_s)) for edge_s in prediction.curve.edges_s],
        "carbon_intensity_gco2eq_per_kwh": [None if isnan(value) else value for value in prediction.curve.values],
    }
    return {
        "job": event.job.as_json(),
        "expected_duration": {"duration_s": expected.duration.total_seconds(), "source": expected.source},
        "decision": event.decision.as_json(),
        "prediction": curve,
    }
