"""Start once the grid is as clean as in the cleanest part of the last days."""

from include.config import format_duration
from include.scheduler.outcome import Decision
from include.scheduler.policies.look import Look
from include.scheduler.policies.threshold import hold_against
from include.scheduler.policies.window import without_signal


def percentile(look: Look) -> Decision:
    """Start at or below a percentile of the trailing window; where that is not known, fall back as threshold does."""
    job, trailing = look.job, look.outlook.trailing
    window = format_duration(job.percentile_window)
    limit = None if trailing is None else trailing.percentile(job.percentile, job.percentile_window)
    if limit is None:
        return without_signal(look, f"too little is known of the last {window} in {job.zone} for a percentile")
    return hold_against(look, limit, f"{limit:.0f} g/kWh, percentile {job.percentile:g} of the last {window}")
