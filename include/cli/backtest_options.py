"""The arguments of ``lowtide backtest``, and how a person's words become its plan."""

import argparse
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.config import find_zone, format_duration, parse_duration, zone_table
from include.config.cloud_regions import is_cloud_region
from include.config.scheduler import PolicyName
from include.errors import ConfigurationError

if TYPE_CHECKING:
    from include.scheduler.backtest import Plan

DURATIONS = "1h,2h,4h,8h"
SLACKS = "4h,8h,12h,24h,48h"
_PAUSING = ("minimum_slice", "resume_time", "resume_energy", "maximum_pauses")
_AS_THEY_ARE = (
    "submit", "seed", "interruptible", "forecast", "history_limit", "poll", "decide_once", "duration_error",
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


def plan_of(options: argparse.Namespace) -> "Plan":
    """Return the plan that the arguments mean.

    :raises ConfigurationError: arguments that do not go together.
    """
    from include.scheduler.backtest import Plan, Rules  # noqa: PLC0415 numpy: a tenth of a second for this command only
    from include.scheduler.pausing import PausingLimits  # noqa: PLC0415

    if "threshold" in options.policy and options.threshold is None:
        raise ConfigurationError("--policy threshold needs --threshold; give one in g/kWh, e.g. 150")
    zone, zone_time = zone_and_timezone(options)
    rules = Rules(
        threshold_gco2eq_per_kwh=options.threshold,
        minimum_gain_percent=options.minimum_gain,
        percentile=options.percentile,
        percentile_window=options.percentile_window,
        run_now_below_gco2eq_per_kwh=options.run_now_below,
        jitter=options.jitter,
        pausing=PausingLimits(**{name: getattr(options, name) for name in _PAUSING}),
    )
    return Plan(
        zone=zone,
        timezone=zone_time,
        policies=options.policy,
        durations=options.duration,
        slacks=options.slack,
        rules=rules,
        **{name: getattr(options, name) for name in _AS_THEY_ARE},
    )
