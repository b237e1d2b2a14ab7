"""The rules that all jobs of a backtest keep, whatever their policy and shape."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.costs import PauseCosts
from include.scheduler.job import Job
from include.scheduler.pausing import PausingLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a job is told beyond its policy and its times; minimum gain and jitter are off unless asked for."""

    threshold_gco2eq_per_kwh: float | None = None
    minimum_gain_percent: float = 0.0
    percentile: float = 30.0
    percentile_window: timedelta = timedelta(days=7)
    run_now_below_gco2eq_per_kwh: float | None = None
    jitter: timedelta = timedelta(0)
    pausing: PausingLimits = field(default_factory=PausingLimits)

    def job(self, zone: str, combination: Combination, submitted_s: float, poll: timedelta) -> Job:
        """Return a job; its id depends on its times only, so that policies are compared on the same jobs."""
        submitted_at = datetime.fromtimestamp(submitted_s, UTC)
        duration, slack = timedelta(seconds=combination.duration_s), timedelta(seconds=combination.slack_s)
        return Job(
            job_id=f"backtest {zone} {submitted_at:%Y-%m-%dT%H:%MZ} {duration} {slack}",
            zone=zone,
            policy=combination.rule,
            submitted_at=submitted_at,
            deadline=submitted_at + duration + slack,
            expected_duration=duration,
            duration_margin=0.0,
            on_latest_start="start",
            threshold_gco2eq_per_kwh=self.threshold_gco2eq_per_kwh,
            minimum_gain_percent=self.minimum_gain_percent,
            poke_interval=poll,
            failure_budget=1,
            percentile=self.percentile,
            percentile_window=self.percentile_window,
            run_now_below_gco2eq_per_kwh=self.run_now_below_gco2eq_per_kwh,
            jitter=self.jitter,
            pausing=self.pausing if combination.rule == "interruptible" else None,
        )

    def pause_costs(self) -> PauseCosts:
        """Return the costs of pausing in seconds."""
        pausing = self.pausing
        return PauseCosts(
            minimum_slice_s=pausing.minimum_slice.total_seconds(),
            resume_time_s=pausing.resume_time.total_seconds(),
            resume_energy_s=pausing.resume_energy.total_seconds(),
            maximum_pauses=pausing.maximum_pauses,
        )
