"""Copies a run's ledger away from its machine while it grows, where the configuration names a place."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from include.pipeline.running.training_run import TrainingRun
from include.tracker.ledger.segments import LedgerSegments

_log = logging.getLogger(__name__)


@contextmanager
def ledger_copies(run: TrainingRun) -> Iterator[None]:
    """Copy the run's ledger in pieces to ``account.ledger_copies``; null: do nothing.

    :raises ConfigurationError: a place that no driver is there for; told before the training begins.
    """
    account = run.config.values.account
    if account.ledger_copies is None:
        yield
        return
    path = run.folder.path
    segments = LedgerSegments(
        run.folder.ledger,
        account.ledger_copies,
        f"{path.parent.name}/{path.name}",
        interval_s=account.ledger_copy_interval.total_seconds(),
    )
    try:
        with segments:
            yield
    finally:
        for problem in segments.problems:
            _log.warning("%s", problem)
