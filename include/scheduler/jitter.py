"""Spreading starts by the name of the job: many jobs that see one curve must not all begin in its best minute.

A job sees the curve later by a share of ``jitter`` that is its own, and starts in an interval only once that is as old.
Nothing is remembered between looks: whoever looks again, in another process, finds the same start.
"""

from bisect import bisect_right
from hashlib import blake2b

from include.records import Reading
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.job import Job

_BYTES = 8


def fraction(job_id: str) -> float:
    """Return a job's share of the jitter, in [0, 1); evenly spread over job ids, the same in every process."""
    return int.from_bytes(blake2b(job_id.encode(), digest_size=_BYTES).digest(), "big") / 256.0**_BYTES


def delay_s(job: Job, curve: IntensityCurve, now_s: float) -> float:
    """Return by how much later the job sees a curve.

    A curve that begins with the interval that holds now says nothing of what held before it, so it cannot be seen later
    by more than that interval.
    """
    jitter_s = job.jitter.total_seconds()
    if curve.start_s > now_s - jitter_s:
        i = max(1, min(bisect_right(curve.edges_s, now_s), len(curve.values)))
        jitter_s = min(jitter_s, curve.edges_s[i] - curve.edges_s[i - 1])
    return fraction(job.job_id) * jitter_s


def delayed(curve: IntensityCurve, by_s: float) -> IntensityCurve:
    """Return the curve moved later, its first value extended back to where it began, or further."""
    start_s, first_s = curve.start_s + by_s, curve.edges_s[1] - curve.start_s
    # a step of the length of the first where that is enough: a regular curve stays regular, and quick
    edges = (start_s - max(first_s, by_s), start_s, *(edge + by_s for edge in curve.edges_s[1:]))
    return IntensityCurve(edges, (curve.values[0], *curve.values))


def ready_s(job: Job, reading: Reading) -> float:
    """Return from when on (UNIX seconds) the job may start on a reading: its share of the jitter after the interval began."""
    start_s, end_s = reading.start.timestamp(), reading.end.timestamp()
    return start_s + fraction(job.job_id) * min(job.jitter.total_seconds(), end_s - start_s)
