"""Gathers what is known of a run's wait: its ledger, the grid from submission to deadline, and the deadline itself."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.config.schema import GridConfig, ReportConfig
from lowtide.config.zones import find_zone
from lowtide.errors import LowtideError
from lowtide.grid.backfill import provider_key
from lowtide.grid.factory import open_provider
from lowtide.grid.history import open_history
from lowtide.grid.providers import HTTP_PROVIDERS, LOCAL_PROVIDERS
from lowtide.grid.series import Source, cover
from lowtide.io import sha256_of
from lowtide.records import Reading, TrainingRecord
from lowtide.report.waiting import WaitEvidence, decision_files, queue_of
from lowtide.runs.account import ACTUAL, opening_details
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures, grid_of
from lowtide.timeutil import parse_moment
from lowtide.tracker.emissions import best_known
from lowtide.tracker.ledger import read_intensity, read_ledger

# What a run's configuration said about its comparison: for a comparison that is made elsewhere, from the run's folder alone.


_log = logging.getLogger(__name__)


def report_settings(record: TrainingRecord, folder: RunFolder) -> ReportConfig | None:
    """Return the section ``report`` of a run's configuration; None where nobody knows it any more.

    The opening of its ledger has it; of a ledger from before that, the configuration's file has, if its checksum is still the
    record's: then nothing was laid over it, and it has not changed since.
    """
    try:
        details = opening_details(read_ledger(folder.ledger)) or {}
        if "report" in details:
            return ReportConfig.model_validate(details["report"])
    except (OSError, LowtideError, ValidationError) as error:
        _log.info("the ledger of %s does not say how the run is compared: %s", folder.path, error)
    return _of_file(record.configuration)


def _of_file(configuration: str) -> ReportConfig | None:
    source, _, checksum = configuration.rpartition(" sha256:")
    try:
        found = load_config(PROJECT_ROOT / source)  # of an absolute path, that one
    except LowtideError:
        return None
    return found.values.report if found.sha256 == checksum else None


_WAITS = {"wait", "pause"}


def wait_evidence(
    record: TrainingRecord, folder: RunFolder, artifacts_root: Path | None, *, now: datetime
) -> WaitEvidence:
    """Return what can be read of a run's wait; nobody is asked over a network, and what is missing is said.

    The run's own valuation comes first, so that the run's emissions are the record's; then the readings that the
    counterfactual was valued at, the replayed trace or the stored history, and the readings that decisions were made on.

    :param artifacts_root: where the grid's history lies; None to do without.
    :param now: real time; what has not ended by then is no actual figure yet.
    """
    try:
        if sha256_of(folder.ledger) != record.ledger_sha256:
            return WaitEvidence(missing=f"{folder.ledger} is not the ledger of this record")
        rows = read_ledger(folder.ledger).rows
        own = (record.signal_type, record.emission_factor_type)
        known = [entry.reading for entry in best_known(read_intensity(folder.path)[0], meaning=own)]
    except (OSError, LowtideError) as error:
        return WaitEvidence(missing=f"the run's ledger cannot be read ({error})")
    kept = (look for path in decision_files(folder.path) for look in _looks(path))
    looks = sorted(
        (look for look in kept if record.submitted_at <= look.decided_at <= record.ended_at), key=_decided_at
    )
    deadline = next((look.deadline for look in reversed(looks) if look.deadline is not None), None)
    end = max(record.ended_at, deadline or record.ended_at)
    looked = [look.reading for look in looks if look.reading is not None and look.reading.kind in ACTUAL]
    sources: list[Source] = [
        lambda *_: [reading for reading in known if reading.kind in (*ACTUAL, "replayed")],
        lambda *_: [reading for reading in _at_submission(record, folder) if reading.kind in (*ACTUAL, "replayed")],
        lambda start, stop: _stored(folder, artifacts_root, start, stop, now),
        lambda *_: [reading for reading in looked if reading.end <= now],
    ]
    readings = cover(record.submitted_at, end, sources)
    waited = _waited(looks)
    queued_s = None if waited is None else queue_of(record, [at for at, *_, act in looks if act == "run"]).total_s
    return WaitEvidence(rows=rows, readings=readings, deadline=deadline, waited=waited, queued_s=queued_s)


class _Look(NamedTuple):
    """What of a decision is evidence; decisions of any version have it."""

    decided_at: datetime
    deadline: datetime | None
    reading: Reading | None
    action: str | None


def _waited(looks: Sequence[_Look]) -> bool | None:
    """Return whether a decision made the run wait; None where decisions, or what they were, were not kept."""
    actions = {look.action for look in looks}
    if actions & _WAITS:
        return True
    return None if not actions or None in actions else False


def _decided_at(look: _Look) -> datetime:
    return look.decided_at


def _looks(path: Path) -> Iterator[_Look]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        _log.info("%s cannot be read, so it says nothing of the run's deadline: %s", path, error.strerror)
        return
    for line in lines:
        try:
            data = json.loads(line)
            deadline, reading = data["deadline"], data["reading"]
            yield _Look(
                decided_at=parse_moment(data["decided_at"]),
                deadline=parse_moment(deadline) if deadline else None,
                reading=Reading.from_json(reading) if reading else None,
                action=data.get("action"),
            )
        except (ValueError, KeyError, TypeError, LowtideError) as error:  # half-written by a killed worker
            _log.info("a line of %s is passed over: %s", path, error)


def _at_submission(record: TrainingRecord, folder: RunFolder) -> list[Reading]:
    if record.counterfactual is None or record.counterfactual.readings_path is None:
        return []
    path = folder.path / Path(record.counterfactual.readings_path).name  # the folder may have been moved since
    try:
        return [Reading.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, LowtideError) as error:
        _log.info("%s is passed over: %s", path, error)
        return []


def _stored(
    folder: RunFolder, artifacts_root: Path | None, start: datetime, end: datetime, now: datetime
) -> Sequence[Reading]:
    """Return the replayed trace, or what the grid's history knows by now."""
    try:
        grid = grid_of(folder)
        if grid.provider == "replay":
            return LOCAL_PROVIDERS["replay"](grid).readings(start, end)
        return _history(grid, artifacts_root, start, end, now)
    except LowtideError as error:
        _log.info("the grid of %s is not at hand: %s", folder.path, error)
        return ()


def _history(
    grid: GridConfig, artifacts_root: Path | None, start: datetime, end: datetime, now: datetime
) -> Sequence[Reading]:
    if artifacts_root is None or grid.provider not in HTTP_PROVIDERS:
        return ()
    zone = find_zone(grid.zone)
    provider = open_provider(HTTP_PROVIDERS[grid.provider], grid, zone)
    store = open_history(artifacts_root, provider_key(provider, zone, grid.connection))
    return ActualFigures(now=now, history=store)(start, end)
