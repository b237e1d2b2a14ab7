"""Values of the configuration that are each possible but not together: one sentence that names both keys."""

from include.config.grid import GridConfig
from include.config.scheduler import SchedulerConfig
from include.config.times import format_duration, parse_duration


def check_clean(grid: GridConfig, scheduler: SchedulerConfig) -> None:
    """Check what counts as clean.

    :raises ValueError: the threshold could never decide.
    """
    limit, at_once = grid.threshold_gco2eq_per_kwh, scheduler.run_now_below_gco2eq_per_kwh
    if scheduler.policy == "threshold" and limit is not None and at_once is not None and at_once > limit:
        raise ValueError(
            f"scheduler.run_now_below_gco2eq_per_kwh {at_once:g} is above grid.threshold_gco2eq_per_kwh {limit:g}, which"
            " could then never decide; give a lower one or remove it"
        )


def check_pausing(scheduler: SchedulerConfig) -> None:
    """Check what a pause costs.

    :raises ValueError: a slice that would hold no work.
    """
    pausing = scheduler.pausing
    if pausing.minimum_slice <= pausing.resume_time:
        raise ValueError(
            f"scheduler.pausing.minimum_slice {format_duration(pausing.minimum_slice)} is not longer than"
            f" scheduler.pausing.resume_time {format_duration(pausing.resume_time)}; give a longer slice"
        )


def check_jitter(scheduler: SchedulerConfig) -> None:
    """Check that starts can be spread as far as is asked.

    :raises ValueError: there is less time to wait than that.
    """
    try:
        slack = parse_duration(scheduler.deadline) - scheduler.expected_duration
    except ValueError:
        return  # a clock time or a moment: it comes at the latest start, whatever the jitter
    if scheduler.jitter is not None and scheduler.jitter > slack:
        raise ValueError(
            f"scheduler.jitter {format_duration(scheduler.jitter)} is longer than the {format_duration(slack)} that"
            " scheduler.deadline leaves beside scheduler.expected_duration; give less jitter or more time"
        )
