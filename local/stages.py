"""What a person reads about a task while it is at work: pure functions from Airflow's state and the run's small files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowtide.records import ReplayAnchor
from lowtide.timeutil import format_moment, parse_moment, utc_now


@dataclass(frozen=True, slots=True)
class StageText:
    """One line for a person; ``key`` changes when the line says something new, not at every digit."""

    text: str
    key: str


def read_json(file: Path) -> dict[str, Any]:
    """Return a small JSON object; empty where it is not there yet."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def describe(task_id: str, state: str | None, run_folder: Path) -> StageText:
    """Return the line for a task in a state."""
    if task_id == "wait_for_clean_grid":
        return _waiting(state, read_json(run_folder / "wait.json"))
    if task_id == "train":
        return _training(state, read_json(run_folder / "progress.json"))
    return StageText(state or "not yet", state or "not yet")


def _waiting(state: str | None, wait: dict[str, Any]) -> StageText:
    if state == "deferred":
        first = _first_look(wait)
        return StageText(f"deferred, no worker is held: {first}{_replayed_time(wait)}", f"deferred {first}")
    if state == "success":
        return StageText("the wait is over", "success")
    if state in ("running", "queued", "scheduled"):
        text = "looking at the grid"
        return StageText(text, text)
    return StageText(state or "not yet", state or "not yet")


def _first_look(wait: dict[str, Any]) -> str:
    decision = wait.get("decision") or {}
    reading, threshold = decision.get("reading"), decision.get("threshold_gco2eq_per_kwh")
    if not reading or threshold is None:
        return str(wait.get("text", "waiting for a clean grid"))
    latest = f", started at the latest at {_clock(decision['latest_start'])}" if decision.get("latest_start") else ""
    return f"first look {reading['carbon_intensity_gco2eq_per_kwh']:.0f} g/kWh, wanted {threshold:g}{latest}"


def _replayed_time(wait: dict[str, Any]) -> str:
    if not wait.get("replay"):
        return ""
    now = ReplayAnchor.model_validate(wait["replay"]).virtual(utc_now())
    return f"; on the replayed grid it is {_clock(format_moment(now))}"


def _clock(moment: str) -> str:
    return f"{parse_moment(moment):%H:%M} UTC"


def _training(state: str | None, progress: dict[str, Any]) -> StageText:
    if state != "running" or not progress:
        text = {"running": "starting the training process", None: "not yet", "success": _result(progress)}.get(
            state, str(state)
        )
        return StageText(text, text)
    total = progress.get("samples_total") or 0
    share = progress.get("samples", 0) / total if total else 0.0
    key = f"{progress.get('phase')} {progress.get('epoch')} {int(share * 4)}"
    return StageText(f"{progress.get('phase')}: {_figures(progress, share)}", key)


def _figures(progress: dict[str, Any], share: float) -> str:
    parts = [f"epoch {progress.get('epoch')}/{progress.get('epochs')}, {share:.0%} of the samples"]
    if progress.get("samples_per_s"):
        parts.append(f"{progress['samples_per_s']:,.0f} samples/s")
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.3f}")
    return ", ".join([*parts, *_emissions(progress)])


def _emissions(progress: dict[str, Any]) -> list[str]:
    parts = []
    if progress.get("power_w"):
        parts.append(f"{progress['power_w']:.0f} W")
    if progress.get("emissions_gco2eq") is not None:
        parts.append(f"{progress['emissions_gco2eq']:.3f} g CO2eq")
    if progress.get("carbon_intensity_gco2eq_per_kwh") is not None:
        parts.append(f"grid at {progress['carbon_intensity_gco2eq_per_kwh']:.0f} g/kWh")
    return parts


def _result(progress: dict[str, Any]) -> str:
    if not progress.get("samples"):
        return "done"
    return ", ".join([f"done: {progress['samples']:,} samples", *_emissions(progress)])
