"""Writes when every job ran, so that anyone can recompute the figures."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from include.files import write_atomically
from include.moments import format_moment
from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.figures import HOUR_S
from include.scheduler.backtest.runs import Run

COLUMNS = ("policy", "duration_h", "slack_h", "submit", "deadline", "segment_start", "segment_end")


def write_starts(path: Path, runs: Sequence[tuple[Combination, Sequence[Run]]]) -> None:
    """Write one CSV row per job and segment; moments are ISO-8601 in UTC.

    :raises ArtifactError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for combination, placed in runs:
        shape = (combination.policy, f"{combination.duration_s / HOUR_S:.10g}", f"{combination.slack_s / HOUR_S:.10g}")
        for run in placed:
            times = (_moment(run.submitted_s), _moment(run.deadline_s))
            writer.writerows((*shape, *times, _moment(start), _moment(end)) for start, end in run.segments)
    write_atomically(path, text.getvalue())


def _moment(seconds: float) -> str:
    return format_moment(datetime.fromtimestamp(seconds, UTC))
