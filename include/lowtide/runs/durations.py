"""How long a training takes, learnt from the records that earlier runs of the same training left."""

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from lowtide.config.loader import LoadedConfig
from lowtide.config.schema import LowtideConfig
from lowtide.errors import ArtifactError
from lowtide.records import TrainingRecord, read_record
from lowtide.runs.context import comparison_key
from lowtide.scheduler.job import Job, job_from_config
from lowtide.timeutil import format_duration, format_time

_log = logging.getLogger(__name__)

LEAST_RUNS = 3
"""With fewer earlier runs the configured duration is used."""
LATEST_RUNS = 20
LONGEST_S = 100 * 86_400.0
_MOST_FILES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDuration:
    """A duration in policy time, and its source in words."""

    duration: timedelta
    source: str


def expected_job(config: LoadedConfig, *, job_id: str, submitted_at: datetime) -> tuple[Job, ExpectedDuration]:
    """Return the job of a configuration with its expected duration, and that duration's source.

    A deadline before the submission, such as a date of last year, is logged as a warning: no run can meet it.
    """
    expected = expected_duration(config.values, config.artifacts_path)
    job = job_from_config(config.values, job_id=job_id, submitted_at=submitted_at)
    if job.policy != "immediate" and job.deadline is not None and job.deadline <= job.submitted_at:
        early = job.submitted_at - job.deadline
        _log.warning(
            "the deadline %s passed %s before the submission, so no run can meet it; write a clock time like '06:00' or a later"
            " date as scheduler.deadline",
            format_time(job.deadline),
            f"{early.days:,} days" if early.days > 1 else format_duration(early),
        )
    return replace(job, expected_duration=expected.duration), expected


def expected_duration(config: LowtideConfig, artifacts_root: Path) -> ExpectedDuration:
    """Return how long the next run of a configuration should be expected to take.

    With ``scheduler.learn_duration`` that is the median of the last 20 runs of the same model, data, effective batch and
    number of epochs under the artifact root, plus twice their median deviation from it, as soon as there are three: one
    run that hung must not make the next nights' deadlines unreachable. The margin of ``duration_margin`` comes on top.
    """
    configured = ExpectedDuration(duration=config.scheduler.expected_duration, source="as configured")
    if not config.scheduler.learn_duration:
        return configured
    earlier = _earlier_runs(config, artifacts_root)
    seconds = [run.duration_s * (run.replay.speed if run.replay else 1.0) for run in earlier]
    if len(seconds) < LEAST_RUNS:
        return configured
    middle = median(seconds)  # like the median deviation, it does not move with a single outlier
    learnt = max(1.0, math.ceil(middle + 2.0 * median(abs(one - middle) for one in seconds)))
    return ExpectedDuration(duration=timedelta(seconds=learnt), source=f"learnt from {len(seconds)} earlier runs")


def _earlier_runs(config: LowtideConfig, artifacts_root: Path) -> list[TrainingRecord]:
    wanted = _training_key(comparison_key(config)), config.training.epochs, config.grid.provider == "replay"
    same = (
        record
        for record in _records(artifacts_root)
        if (_training_key(record.comparison_key), record.epochs, record.replay is not None) == wanted
    )
    return list(islice(same, LATEST_RUNS))


def _training_key(key: str) -> str:
    """Return a comparison key without its zone: the zone does not change how long a training takes."""
    return "; ".join(part for part in key.split("; ") if not part.startswith("zone="))


def _records(artifacts_root: Path) -> Iterator[TrainingRecord]:
    """Yield the records of finished runs under the artifact root, newest first; those that cannot be read are skipped."""
    for path in sorted(artifacts_root.glob("runs/*/*/record.json"), key=_modified_s, reverse=True)[:_MOST_FILES]:
        with suppress(ArtifactError):
            record = read_record(path)
            if isinstance(record, TrainingRecord) and 0.0 < record.duration_s < LONGEST_S:
                yield record


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed since it was listed
        return 0.0
