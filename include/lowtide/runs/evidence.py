"""Gathers the evidence of a run's wait: its ledger, the grid from submission to deadline, and the deadline itself."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from lowtide.config.providers import LIVE_PROVIDERS
from lowtide.config.schema import ReportConfig
from lowtide.config.zones import find_zone
from lowtide.errors import LowtideError
from lowtide.grid.backfill import provider_key
from lowtide.grid.factory import open_provider
from lowtide.grid.history import HistoryStore
from lowtide.grid.providers.offline import open_replay
from lowtide.grid.series import Source, best_known, cover
from lowtide.io import sha256_of
from lowtide.records import Reading, TrainingRecord, decision_files, read_decisions
from lowtide.report.waiting import WaitEvidence, delay_of
from lowtide.runs.account import ACTUAL, Facts
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures

_log = logging.getLogger(__name__)


def report_settings(folder: RunFolder) -> ReportConfig | None:
    """Return the section ``report`` of a run's configuration, which the opening of its ledger has; None without one."""
    try:
        settings = Facts(folder).details.report
        return None if settings is None else ReportConfig.model_validate(settings)
    except (LowtideError, ValidationError) as error:
        _log.info("the ledger of %s has no report settings: %s", folder.path, error)
        return None


def wait_evidence(
    record: TrainingRecord, folder: RunFolder, artifacts_root: Path | None, *, now: datetime
) -> WaitEvidence:
    """Return what can be read of a run's wait, without any request; ``missing`` names what cannot be read.

    The intensities that the run is valued at come first, so that the figures are the record's; then the replayed trace or the
    stored history, then the readings that decisions were made on.

    :param artifacts_root: where the grid's history lies; None to do without.
    :param now: real time; what has not ended by then is no actual figure yet.
    """
    try:
        if sha256_of(folder.ledger) != record.ledger_sha256:
            return WaitEvidence(missing=f"{folder.ledger} is not the ledger of this record")
        facts = Facts(folder)
        known = [entry.reading for entry in best_known(facts.entries, meaning=facts.meaning)]
    except (OSError, LowtideError) as error:
        return WaitEvidence(missing=f"the run's ledger cannot be read ({error})")
    found, unreadable = read_decisions(*decision_files(folder.path))
    for problem in unreadable:
        _log.info("%s", problem)
    decisions = [one for one in found if record.submitted_at <= one.decided_at <= record.ended_at]
    delay = delay_of(record, reversed(decisions))
    end = max(record.ended_at, delay.deadline or record.ended_at)
    read = [one.reading for one in decisions if one.reading is not None and one.reading.kind in ACTUAL]
    sources: list[Source] = [
        lambda *_: [reading for reading in known if reading.kind in (*ACTUAL, "replayed")],
        lambda start, stop: _stored(facts, artifacts_root, start, stop, now),
        lambda *_: [reading for reading in read if reading.end <= now],
    ]
    readings = cover(record.submitted_at, end, sources)
    return WaitEvidence(rows=facts.rows, readings=readings, delay=delay)


def _stored(
    facts: Facts, artifacts_root: Path | None, start: datetime, end: datetime, now: datetime
) -> Sequence[Reading]:
    """Return the replayed trace, or what the grid's history knows by now."""
    try:
        grid = facts.grid
        if grid.provider == "replay":
            return open_replay(grid).readings(start, end)
        if artifacts_root is None or grid.provider not in LIVE_PROVIDERS:
            return ()
        zone = find_zone(grid.zone)
        key = provider_key(open_provider(grid.provider, grid, zone), zone, grid.connection)
        return ActualFigures(now=now, history=HistoryStore(artifacts_root, key))(start, end)
    except LowtideError as error:
        _log.info("the grid of %s is not available: %s", facts.ledger, error)
        return ()
