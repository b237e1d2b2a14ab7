"""The policies: each one small function from what is known to a decision. A new policy is a function and a line below."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from include.config.scheduler import PolicyName
from include.records import IntensityKind
from include.scheduler.job import Job
from include.scheduler.ordering import best_start, possible_starts
from include.scheduler.outcome import Action, Decision, Reason
from include.scheduler.outlook import Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One job, one moment, one outlook: all that a policy may use."""

    job: Job
    now: datetime
    outlook: Outlook

    def decide(self, action: Action, reason: Reason, text: str) -> Decision:
        """Return a decision that carries the figures it rests on."""
        return Decision(
            action=action,
            reason=reason,
            decided_at=self.now,
            until=None,
            text=text,
            reading=self.outlook.reading,
            threshold_gco2eq_per_kwh=self.job.threshold_gco2eq_per_kwh,
            deadline=self.job.deadline,
            latest_start=self.job.latest_start,
            steps=self.outlook.steps,
        )

    def wait(self, reason: Reason, text: str, planned_start: datetime | None = None) -> Decision:
        """Return a decision to wait until the next look: a poke interval on, but never after the latest start."""
        job = self.job
        moments = (self.now + job.poke_interval, planned_start, job.latest_start)
        until = min(moment for moment in moments if moment is not None)
        decision = self.decide(Action.WAIT, reason, f"{text}; next look at {at(until)}{self._limit()}")
        return replace(decision, until=until, planned_start=planned_start)

    def figure(self) -> str:
        """Return the reading in words: value, kind, source."""
        reading = self.outlook.reading
        if reading is None:
            return "an unknown intensity"
        value = reading.carbon_intensity_gco2eq_per_kwh
        return f"{value:.0f} g/kWh ({reading.kind.value}, {reading.source})"

    def _limit(self) -> str:
        latest = self.job.latest_start
        return "" if latest is None else f", latest start {at(latest)}"


Policy = Callable[[Look], Decision]


def at(moment: datetime) -> str:
    """Write a moment for a log line."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def immediate(look: Look) -> Decision:
    """Start at once, whatever the grid does."""
    known = "" if look.outlook.reading is None else f"; {look.job.zone} has {look.figure()}"
    return look.decide(Action.RUN, Reason.IMMEDIATE, f"policy immediate: starting at once{known}")


def threshold(look: Look) -> Decision:
    """Start when the intensity is at or below the threshold; without a usable reading, wait, then fall back."""
    outlook = look.outlook
    if not _held_against_threshold(look):
        if outlook.worth_retrying and 0 < outlook.failed_looks < look.job.failure_budget:
            return _wait_for_signal(look)
        return order_of_hours(look)
    limit, reading = look.job.threshold_gco2eq_per_kwh, outlook.reading
    if limit is None or reading is None:  # Job and _held_against_threshold rule it out; said once more for the types
        return order_of_hours(look)
    if reading.carbon_intensity_gco2eq_per_kwh <= limit:
        text = f"clean enough: {look.job.zone} has {look.figure()}, at or below the threshold of {limit:g} g/kWh"
        return look.decide(Action.RUN, Reason.BELOW_THRESHOLD, text)
    text = f"waiting: {look.job.zone} has {look.figure()}, above the threshold of {limit:g} g/kWh"
    return look.wait(Reason.ABOVE_THRESHOLD, text)


def order_of_hours(look: Look) -> Decision:
    """Choose the start by the usual order of the hours; with no curve to order by, start at once."""
    job = look.job
    starts = possible_starts(look.outlook.shape, look.now, job.latest_start, job.expected_duration)
    if not starts or starts[0].moment != look.now:
        text = f"no usable signal for {job.zone} and no usual order of hours to go by: starting at once"
        return look.decide(Action.RUN, Reason.SIGNAL_UNAVAILABLE, text)
    best = best_start(starts, job.minimum_gain_percent)
    share = _saving_percent(starts[0].mean_gco2eq_per_kwh, best.mean_gco2eq_per_kwh)
    if best.moment == look.now:
        text = f"no usable signal for {job.zone}; by the usual order of hours no later start is better by at least"
        return look.decide(Action.RUN, Reason.FORECAST_MINIMUM, f"{text} {job.minimum_gain_percent:g} %: starting now")
    text = f"no usable signal for {job.zone}; by the usual order of hours {at(best.moment)} is {share:.0f} % cleaner"
    return look.wait(Reason.FORECAST_MINIMUM, f"waiting: {text} than now", planned_start=best.moment)


def _held_against_threshold(look: Look) -> bool:
    outlook = look.outlook
    if outlook.reading is None or not outlook.threshold_comparable:
        return False
    answered = outlook.failed_looks == 0 or outlook.reading.kind == IntensityKind.CACHED
    # a modelled reading of the right factor type counts only once the provider has had its chances
    return answered or not outlook.worth_retrying or outlook.failed_looks >= look.job.failure_budget


def _wait_for_signal(look: Look) -> Decision:
    failed, budget = look.outlook.failed_looks, look.job.failure_budget
    text = (
        f"waiting: no usable signal for {look.job.zone} ({failed} of {budget} failed looks before the fallback decides)"
    )
    return look.wait(Reason.SIGNAL_UNAVAILABLE, text)


def _saving_percent(now: float, later: float) -> float:
    return 0.0 if now == 0 else 100.0 * (1.0 - later / now)


POLICIES: dict[PolicyName, Policy] = {"immediate": immediate, "threshold": threshold}
