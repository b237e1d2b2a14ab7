"""What a reader should know of a single run before comparing; what two do not have in common is in ``fairness``."""

from datetime import datetime

from include.config import ReportConfig, format_duration
from include.records import TrainingRecord
from include.report.text.figures import duration_text


def age_notes(baseline: TrainingRecord, who: str, settings: ReportConfig, now: datetime) -> list[str]:
    """Say that a baseline is older than it should be; a replayed run's age is that of the real run."""
    ended_at = baseline.ended_at if baseline.replay is None else baseline.replay.real(baseline.ended_at)
    age = now - ended_at
    if age <= settings.baseline_max_age:
        return []
    limit = format_duration(settings.baseline_max_age)
    return [f"the {who} is {age.days} days old, more than {limit}; run baseline_training again"]


def run_notes(record: TrainingRecord, who: str) -> list[str]:
    """Say what is unusual about a single run."""
    found = [f"the {who}'s measuring: {problem}" for problem in record.problems]
    found += [f"the {who}'s training warned: {warning}" for warning in record.warnings]
    if record.attempts > 1:
        found.append(f"the {who} took {record.attempts} attempts; energy and time include all of them")
    if who.endswith("baseline") and record.wait_s > 0 and record.policy != "immediate":
        found.append(
            f"the {who} waited {duration_text(record.wait_s)} itself (policy {record.policy}); grid conditions"
            " include that"
        )
    return found
