"""Turns one training's files into its line of the savings ledger, or into the reason why it has none."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from include.moments import as_utc
from include.records import (
    READABLE_SCHEMA_VERSIONS,
    IncompleteRecord,
    IntensityKind,
    TrainingRecord,
    tells_of_an_unfinished_run,
)
from include.report.evidence import estimated_energy_reasons, foreign_signal_reasons, simulated_reasons
from include.report.savings.claims import Avoided, avoided_by_efficiency, avoided_by_waiting
from include.report.savings.decisions import WaitSeen, wait_seen
from include.report.savings.folders import TrainingFolder
from include.report.savings.model import Basis, LeftOut, Repeatability, SavingsRun
from include.report.waits.queue import Queue, queue_of
from include.report.waits.wait import paused_s

Account = TrainingRecord | IncompleteRecord

_MODEL = re.compile(r"model=(.*?); data=")
_BEGINNING_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ACCOUNT = {
    "skip": "it was skipped, since the deadline left no time for it",
    "fail": "it was given up, since the deadline left no time for it",
    "wait": "it has not begun: it still waits for the grid, or its wait was ended",
}


def entry_of(folder: TrainingFolder, *, repeatability: Repeatability) -> SavingsRun | LeftOut:
    """Read a training's record, decisions and report; what cannot be accounted is a reason, never an exception."""
    try:
        data = json.loads((folder.path / "record.json").read_bytes())
        account = _account(data)
    except FileNotFoundError:
        return _left_out(folder, _without_record(folder))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return _left_out(folder, f"its record.json is not a training record: {where}: {first['msg']}")
    except (OSError, ValueError) as error:
        return _left_out(folder, f"its record.json cannot be read ({error})")
    facts: Any = account  # both kinds of account have what this rule reads
    if foreign := foreign_signal_reasons(facts, "run"):
        return _left_out(folder, foreign[0], account)
    return _entry(folder, account, repeatability)


def _account(data: Any) -> Account:
    if tells_of_an_unfinished_run(data):
        return IncompleteRecord.model_validate_json(json.dumps(data))
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version not in READABLE_SCHEMA_VERSIONS:
        raise ValueError(f"schema_version is {version!r}, which this version of Lowtide does not read")
    return TrainingRecord.model_validate_json(json.dumps(data))


def _without_record(folder: TrainingFolder) -> str:
    if (folder.path / "ledger.jsonl").exists():
        return "it has a ledger but no record: it still goes on, or was killed; `lowtide settle` reads it back"
    last = wait_seen(folder.decisions, _BEGINNING_OF_TIME).last_action
    return _NO_ACCOUNT.get(last or "", "it left neither record nor ledger")


def _left_out(folder: TrainingFolder, reason: str, account: Account | None = None) -> LeftOut:
    return LeftOut(
        dag=folder.dag,
        folder=folder.name,
        reason=reason,
        last_change=folder.last_change() if account is None else _real(account, account.ended_at),
        energy_kwh=None if account is None else account.energy_kwh.total,
        emissions_gco2eq=None if account is None else account.emissions_gco2eq,
    )


def _entry(folder: TrainingFolder, account: Account, repeatability: Repeatability) -> SavingsRun:
    basis, seen = _basis(account), _wait_of(folder, account)
    figures = {
        "basis": basis,
        **_identity(folder, account),
        **_used(account),
        **_waited(account, seen),
        **_avoided(folder, account, basis, seen, repeatability),
    }
    return SavingsRun.model_validate(figures)


def _identity(folder: TrainingFolder, account: Account) -> dict[str, Any]:
    ended_at = _real(account, account.ended_at)
    same = ("run_id", "zone", "signal_type", "emission_factor_type", "measuring_scope", "policy", "ledger_sha256")
    return {name: getattr(account, name) for name in same} | {
        "dag": _dag(folder, account),
        "folder": folder.name,
        "model": _model(account.comparison_key),
        "started_at": _real(account, account.started_at),
        "ended_at": ended_at,
        "month": f"{ended_at:%Y-%m}",
        "finished": isinstance(account, TrainingRecord),
        "superseded": folder.superseded,
    }


def _used(account: Account) -> dict[str, Any]:
    bounds = account.uncertainty
    return {
        "energy_complete": account.energy_complete,
        "energy_kwh": account.energy_kwh.total,
        "energy_with_pue_kwh": account.energy_kwh.total * account.pue,
        "emissions_gco2eq": account.emissions_gco2eq,
        "emissions_low_gco2eq": bounds.emissions_low_gco2eq if bounds else None,
        "emissions_high_gco2eq": bounds.emissions_high_gco2eq if bounds else None,
        "unsettled_gco2eq": account.emissions_gco2eq * _unsettled_share(account),
    }


def _waited(account: Account, seen: WaitSeen) -> dict[str, Any]:
    finished = isinstance(account, TrainingRecord)
    queue = _queue(account, seen)
    waited_s, paused = (account.wait_s, paused_s(account)) if isinstance(account, TrainingRecord) else (0.0, 0.0)
    return {
        "waited": seen.waited,
        "wait_s": max(0.0, waited_s - queue.before_start_s) if seen.waited else 0.0,
        "paused_s": max(0.0, paused - queue.in_pauses_s),
        "deadline": seen.deadline,
        "deadline_met": account.ended_at <= seen.deadline if finished and seen.deadline else None,
    }


def _queue(account: Account, seen: WaitSeen) -> Queue:
    return queue_of(account, seen.decided_to_run) if isinstance(account, TrainingRecord) and seen.waited else Queue()


def _basis(account: Account) -> Basis:
    facts: Any = account  # both kinds of account have what these rules read
    if simulated_reasons(facts, "run"):
        return "simulated"
    return "estimated_energy" if estimated_energy_reasons(facts, "run") else "measured"


def _wait_of(folder: TrainingFolder, account: Account) -> WaitSeen:
    """Return what the decisions say: of the training that stands. An immediate run never waits for the grid, but may be late."""
    seen = WaitSeen(waited=None)
    if not folder.superseded:
        seen = wait_seen(folder.decisions, account.submitted_at, account.started_at)
    return replace(seen, waited=False) if account.policy == "immediate" else seen


def _avoided(
    folder: TrainingFolder, account: Account, basis: Basis, seen: WaitSeen, repeatability: Repeatability
) -> dict[str, Any]:
    if not isinstance(account, TrainingRecord) or folder.superseded:
        why = "it was trained again since" if folder.superseded else "it did not finish"
        waiting = efficiency = Avoided(reasons=(why,))
    else:
        waiting = avoided_by_waiting(account, basis, waited=seen.waited, queued_s=_queue(account, seen).total_s)
        efficiency = avoided_by_efficiency(folder.report, account, repeatability=repeatability)
    return {
        "avoided_by_waiting_gco2eq": waiting.gco2eq,
        "avoided_by_waiting_low_gco2eq": waiting.low_gco2eq,
        "avoided_by_waiting_high_gco2eq": waiting.high_gco2eq,
        "waiting_not_counted": waiting.reasons,
        "avoided_by_efficiency_gco2eq": efficiency.gco2eq,
        "efficiency_not_counted": efficiency.reasons,
        "repeatability_percent": efficiency.repeatability_percent,
    }


def _dag(folder: TrainingFolder, account: Account) -> str | None:
    """Return the DAG's id; its folder's name may have had characters replaced, the run's id has not."""
    dag, separator, _ = account.run_id.partition("/")
    return dag if separator and folder.dag is not None else folder.dag


def _model(comparison_key: str) -> str:
    found = _MODEL.match(comparison_key)
    return found.group(1) if found else comparison_key


def _unsettled_share(account: Account) -> float:
    kinds = account.intensity_kinds
    return min(1.0, sum(kinds.get(kind, 0.0) for kind in (IntensityKind.FORECAST, IntensityKind.CACHED)))


def _real(account: Account, moment: datetime) -> datetime:
    return as_utc(moment if account.replay is None else account.replay.real(moment))
