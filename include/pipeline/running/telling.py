"""A look at the grid in words for a log: the decision, the steps of a fallback, and the hours to come as one line."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from include.config import find_zone
from include.scheduler import Action, Decision, Job, Outlook
from include.scheduler.curves.curve import IntensityCurve

_EIGHTHS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
_MOST_HOURS = 48
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Looked:
    """One look of a job: what was decided, on which outlook."""

    job: Job
    decision: Decision
    outlook: Outlook

    def lines(self) -> list[str]:
        """Return the look for a log, in one to three lines."""
        steps = self.decision.steps
        fallen_back = [f"[{'; '.join(steps)}]"] if len(steps) > 1 else []
        return [self.decision.text, *fallen_back, *self._hours_to_come()]

    def _hours_to_come(self) -> list[str]:
        prediction, decision = self.outlook.prediction, self.decision
        if prediction is None or decision.action not in (Action.WAIT, Action.PAUSE) or not decision.segments:
            return []
        now_s = decision.decided_at.timestamp()
        end_s = prediction.curve.end_s if decision.deadline is None else decision.deadline.timestamp()
        end_s = min(end_s, prediction.curve.end_s, now_s + _MOST_HOURS * _HOUR_S)
        means = _hourly(prediction.curve, now_s, end_s)
        known = [mean for mean in means if mean is not None]
        if len(known) < 2:
            return []
        zone = find_zone(self.job.zone).timezone
        start, end = (datetime.fromtimestamp(s, UTC).astimezone(zone) for s in (now_s, now_s + len(means) * _HOUR_S))
        chosen = decision.segments[0][0].astimezone(zone)
        return [
            f"{start:%H:%M} {sparkline(means)} {end:%H:%M} ({zone.key}), {min(known):.0f} to {max(known):.0f} g/kWh by the"
            f" hour; chosen {chosen:%a %H:%M}{_more(decision)}"
        ]


def sparkline(means: list[float | None]) -> str:
    """Return one character a value, scaled between the least and the greatest; a gap is a dot."""
    known = [mean for mean in means if mean is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return "".join(_UNKNOWN if m is None else _EIGHTHS[int(7 * (m - low) / span + 0.5) if span else 0] for m in means)


def _hourly(curve: IntensityCurve, start_s: float, end_s: float) -> list[float | None]:
    count = int((end_s - start_s) // _HOUR_S)
    return [curve.mean_over(start_s + i * _HOUR_S, start_s + (i + 1) * _HOUR_S) for i in range(count)]


def _more(decision: Decision) -> str:
    first, rest = decision.segments[0], decision.segments[1:]
    told = f" for {_duration(first[1] - first[0])}"
    return told if not rest else f"{told} and {len(rest)} more piece{'s' if len(rest) > 1 else ''}"


def _duration(duration: timedelta) -> str:
    minutes = round(duration.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
