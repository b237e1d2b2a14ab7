"""Running one DAG through the API, with its progress shown."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.api import AirflowApi
from local.components import LocalAirflow
from local.display import Display
from local.problems import RunFailed, last_lines
from local.stages import StageText, describe

POLL_S = 1.0
PARSED_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of the demo."""

    title: str
    dag_id: str
    tasks: tuple[str, ...]
    conf: dict[str, Any] = field(default_factory=dict)


def wait_until_parsed(airflow: LocalAirflow, api: AirflowApi, dag_ids: list[str]) -> None:
    """Return when the DAG processor knows all DAGs.

    :raises RunFailed: a DAG file cannot be imported.
    :raises ComponentFailed: it took too long.
    """

    def parsed() -> bool:
        for error in api.import_errors():
            last = str(error["stack_trace"]).strip().splitlines()[-1]
            raise RunFailed(f"{error['filename']} cannot be imported as a DAG file: {last}")
        return all(api.dag(dag_id) is not None for dag_id in dag_ids)

    airflow.wait_until(parsed, what="Reading the DAG files", timeout_s=PARSED_WITHIN_S)


def execute(airflow: LocalAirflow, api: AirflowApi, display: Display, planned: PlannedRun, run_id: str) -> None:
    """Trigger a run and return when it has succeeded.

    :raises RunFailed: it failed; names the task, the last lines of its log and the log's path.
    """
    folder = airflow.places.artifacts / "runs" / planned.dag_id / run_id
    api.trigger(planned.dag_id, run_id, planned.conf)
    while True:
        airflow.check()
        state = api.run_state(planned.dag_id, run_id)
        tasks = api.tasks(planned.dag_id, run_id)
        _show(display, planned, tasks, folder)
        if state == "success":
            return
        if state == "failed":
            raise RunFailed(_why(airflow.places.task_logs, planned.dag_id, run_id, tasks))
        time.sleep(POLL_S)


def _show(display: Display, planned: PlannedRun, tasks: dict[str, dict[str, Any]], folder: Path) -> None:
    for task_id in planned.tasks:
        state = tasks.get(task_id, {}).get("state")
        if state is None:
            return  # what has not begun takes no line
        text = describe(task_id, state, folder)
        tries = tasks[task_id].get("try_number") or 0
        if tries > 1 and state != "success":
            text = StageText(f"{text.text} (try {tries})", f"{text.key} {tries}")
        display.show(f"{planned.title}: {task_id}", text, done=state == "success")


def _why(task_logs: Path, dag_id: str, run_id: str, tasks: dict[str, dict[str, Any]]) -> str:
    failed = next((task for task in tasks.values() if task["state"] == "failed"), None)
    if failed is None:
        return f"Run {run_id} of {dag_id} failed, though none of its tasks did; the logs are in {task_logs}."
    folder = task_logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={failed['task_id']}"
    logs = sorted(folder.glob("attempt=*.log"), key=lambda log: log.stat().st_mtime)
    sentence = f"Task {failed['task_id']} of {dag_id} failed"
    if not logs:
        return f"{sentence} before it wrote a log; look into {task_logs.parent / 'components' / 'scheduler.log'}."
    quoted = "\n".join(f"    {line}" for line in task_log_lines(logs[-1]))
    return f"{sentence}; it said:\n{quoted}\n  log: {logs[-1]}"


def task_log_lines(log: Path, count: int = 12) -> list[str]:
    """Return the last lines of a task log, which is a JSON object a line, as text."""
    return [text for line in last_lines(log, count) for text in _plain(line)]


def _plain(line: str) -> list[str]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return [line]
    text = f"{entry.get('level', '')}: {entry.get('event', '')}"
    causes = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or []]
    return [text, *causes]
