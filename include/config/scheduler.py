"""The scheduler section of the configuration: when to run."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from include.config.section import Section
from include.config.times import Deadline, Duration, parse_duration

PolicyName = Literal["immediate", "threshold", "percentile", "window", "interruptible"]
OnLatestStart = Literal["start", "skip", "fail"]


def _days_to_a_year(window: timedelta) -> timedelta:
    if not timedelta(days=1) <= window <= timedelta(days=366):
        raise ValueError("a window holds at least a whole day and at most a year; write e.g. 7d")
    return window


class PausingConfig(Section):
    """What a pause costs, and how many there may be; used by the policy ``interruptible``."""

    minimum_slice: Annotated[Duration, Field(description="shortest run between two pauses")] = parse_duration("30m")
    resume_time: Annotated[Duration, Field(description="time that a resume takes before work goes on")] = (
        parse_duration("2m")
    )
    resume_energy: Annotated[Duration, Field(description="energy of a pause and its resume, as time at full power")] = (
        parse_duration("2m")
    )
    maximum_pauses: Annotated[int, Field(ge=0, le=1000, description="a job is not paused more often than this")] = 10


class SchedulerConfig(Section):
    """When to run."""

    policy: Annotated[
        PolicyName,
        Field(
            description="immediate: start at once; threshold, percentile: wait until the grid is clean; window: best block"
            " before the deadline; interruptible: best blocks, with pauses between them"
        ),
    ]
    deadline: Annotated[
        Deadline | None, Field(description="latest finish: '06:00' (zone's time), '12h' after submission, or a moment")
    ] = None
    on_latest_start: Annotated[
        OnLatestStart, Field(description="what to do when waiting longer would miss the deadline")
    ] = "start"
    expected_duration: Annotated[Duration, Field(description="how long the training takes")]
    learn_duration: Annotated[
        bool, Field(description="expect what earlier runs of the same training took, once there are three")
    ] = False
    duration_margin: Annotated[
        float, Field(ge=0, le=10, description="safety added to expected_duration, as a share")
    ] = 0.1
    poke_interval: Annotated[Duration, Field(description="time between two looks at the grid")] = parse_duration("5m")
    failure_budget: Annotated[
        int, Field(ge=1, le=1000, description="failed looks in a row before the fallback decides")
    ] = 3
    minimum_gain_percent: Annotated[float, Field(ge=0, lt=100, description="do not wait for less than this")] = 2.0
    run_now_below_gco2eq_per_kwh: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="start at once at or below this, whatever is still to come"),
    ] = None
    percentile: Annotated[
        float, Field(gt=0, lt=100, description="clean means at or below this percentile of the window; for percentile")
    ] = 30.0
    percentile_window: Annotated[
        Duration,
        AfterValidator(_days_to_a_year),
        Field(description="the days before now that it is taken from"),
    ] = parse_duration("7d")
    jitter: Annotated[
        Duration | None,
        Field(description="starts are spread over this by the run's name, so that not all come at once; null = none"),
    ] = None
    pausing: PausingConfig = PausingConfig()
