"""What a reader should know before comparing: every difference between two runs that is not the point of it."""

from datetime import datetime

from include.config import ReportConfig, format_duration
from include.records import TrainingRecord
from include.report.figures import duration_text

_MUST_AGREE = {
    "zone": "zone",
    "signal_type": "signal type",
    "emission_factor_type": "emission factor type",
    "device": "device",
    "device_name": "device name",
    "pue": "PUE",
    "measuring_scope": "measuring scope",
    "epochs": "epochs",
    "samples": "samples",
    "seed": "seed",
    "peak_memory_kind": "kind of peak memory",
}


def differences(baseline: TrainingRecord, run: TrainingRecord) -> list[str]:
    """List what differs and should not, one sentence each."""
    found = [
        f"{label} differs: baseline {getattr(baseline, name)}, run {getattr(run, name)}"
        for name, label in _MUST_AGREE.items()
        if getattr(baseline, name) != getattr(run, name)
    ]
    return found + _method_differences(baseline, run)


def age_notes(baseline: TrainingRecord, settings: ReportConfig, now: datetime) -> list[str]:
    """Say that a baseline is older than it should be; a replayed run's age is that of the real run."""
    ended_at = baseline.ended_at if baseline.replay is None else baseline.replay.real(baseline.ended_at)
    age = now - ended_at
    if age <= settings.baseline_max_age:
        return []
    limit = format_duration(settings.baseline_max_age)
    return [f"the baseline is {age.days} days old, more than {limit}; run baseline_training again"]


def run_notes(record: TrainingRecord, who: str) -> list[str]:
    """Say what is unusual about a single run."""
    found = [f"the {who}'s measuring: {problem}" for problem in record.problems]
    found += [f"the {who}'s training warned: {warning}" for warning in record.warnings]
    if record.attempts > 1:
        found.append(f"the {who} took {record.attempts} attempts; energy and time include all of them")
    if who == "baseline" and record.wait_s > 0 and record.policy != "immediate":
        found.append(
            f"the baseline waited {duration_text(record.wait_s)} itself (policy {record.policy}); grid conditions"
            " include that"
        )
    return found


def _method_differences(baseline: TrainingRecord, run: TrainingRecord) -> list[str]:
    before, after = baseline.energy_kwh.methods, run.energy_kwh.methods
    return [
        f"{part} energy was obtained differently: baseline {before.get(part, 'none')}, run {after.get(part, 'none')}"
        for part in sorted(before.keys() | after.keys())
        if before.get(part, "none") != after.get(part, "none")
    ]
