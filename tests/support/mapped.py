"""The files of a run whose sensor is not mapped and whose training is: one wait, and several trainings that share a pool."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lowtide.records import IntensityKind, Reading, TrainingRecord
from lowtide.runs.folder import RunFolder

from tests.support.runs import booked_rows, slot_reading, write_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
DEADLINE = SUBMITTED + timedelta(hours=10)


def falling_grid() -> list[Reading]:
    """300 g/kWh at submission, 10 less every half-hour."""
    slot = timedelta(minutes=30)
    return [slot_reading(SUBMITTED + k * slot, 300.0 - 10 * k, IntensityKind.MEASURED) for k in range(24)]


def mapped_run(
    root: Path, looks: Sequence[tuple[float, str]], starts_h: Sequence[float]
) -> list[tuple[RunFolder, TrainingRecord]]:
    """Leave the sensor's decisions in the run's folder and the trainings beside it, as Airflow's operators do.

    :param looks: hours after submission, and the action decided then.
    :param starts_h: when each training began, in hours after submission.
    """
    decisions = [
        {
            "action": action,
            "reason": "threshold",
            "text": "as decided",
            "decided_at": (SUBMITTED + timedelta(hours=hours)).isoformat(),
            "deadline": DEADLINE.isoformat(),
            "reading": None,
        }
        for hours, action in looks
    ]
    RunFolder.of_run(root, "nightly", "a").append_decisions(decisions)
    grid = falling_grid()
    return [
        write_run(
            RunFolder.of_run(root, "nightly", "a", index).path,
            booked_rows(SUBMITTED + timedelta(hours=hours), grid),
            submitted_at=SUBMITTED,
            at_submission=grid[:4],
        )
        for index, hours in enumerate(starts_h)
    ]
