"""A small client of Airflow's REST API, for loopback."""

from typing import Any

import requests
from lowtide.errors import LowtideError
from requests.adapters import HTTPAdapter
from urllib3 import Retry

_TIMEOUT_S = 30

# On SQLite, Airflow's API server holds itself up: it notes a call in its event loop, and waits there for the write that
# another call has made (a task's heartbeat, say) and can commit only when the loop is free. After five seconds SQLite
# gives up, "database is locked", and nothing of the call is done. Again, then; a server that is away is not asked again.
_AGAIN = Retry(
    total=None,
    status=4,
    connect=0,
    read=0,
    other=0,
    allowed_methods=None,
    status_forcelist=(requests.codes.internal_server_error, requests.codes.service_unavailable),
    backoff_factor=0.2,
    backoff_jitter=0.5,
    raise_on_status=False,
)


class ApiError(LowtideError):
    """The API answered with an error, or with none at all."""


class AirflowApi:
    """Talks to one API server as one user; logs in when it must."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._credentials = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.mount(url, HTTPAdapter(max_retries=_AGAIN))
        self._session.trust_env = False  # neither a proxy nor ~/.netrc has a say in a call to loopback

    def health(self) -> dict[str, Any] | None:
        """Return what the monitor says; None while nobody answers."""
        try:
            answer = self._session.get(f"{self._url}/api/v2/monitor/health", timeout=5)
        except requests.RequestException:
            return None
        return dict(answer.json()) if answer.ok else None

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return a DAG; None while it has not been parsed."""
        answer = self._send("GET", f"dags/{dag_id}")
        return None if answer.status_code == requests.codes.not_found else dict(_checked(answer))

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the files that could not be parsed."""
        return list(self._json("GET", "importErrors")["import_errors"])

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG or let it run."""
        self._json("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, deferred tasks not counted; leave one that is there as it is."""
        if self._send("GET", f"pools/{name}").status_code == requests.codes.not_found:
            pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
            self._json("POST", "pools", pool)

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run without a logical date."""
        self._json("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})

    def open_runs(self, prefix: str) -> list[dict[str, Any]]:
        """Return the runs of any DAG that have not ended and whose ids begin like this; a hundred at most."""
        query = f"limit=100&state=queued&state=running&run_id_prefix_pattern={prefix}"
        found = self._json("GET", f"dags/~/dagRuns?{query}")["dag_runs"]
        return [run for run in found if run["dag_run_id"].startswith(prefix)]  # Airflow leaves the pattern's last _ out

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._json("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, and with it the tasks that are still open."""
        self._json("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id."""
        found = self._json("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false"
        return self._json("GET", path)["value"]

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(_checked(self._send(method, path, body)))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        answer = self._request(method, f"/api/v2/{path}", body)
        if answer.status_code == requests.codes.unauthorized:  # the token has run out
            self._log_in()
            answer = self._request(method, f"/api/v2/{path}", body)
        return answer

    def _log_in(self) -> None:
        self._session.headers.pop("Authorization", None)
        token = _checked(self._request("POST", "/auth/token", self._credentials))["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, json=body, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise ApiError(f"Airflow's API at {self._url} does not answer ({type(error).__name__}).") from error


def _checked(answer: requests.Response) -> dict[str, Any]:
    if answer.ok:
        return dict(answer.json())
    # The body of a refused login would be the credentials' echo: only the API's own detail is shown.
    detail = (
        answer.json().get("detail", "") if answer.headers.get("content-type", "").startswith("application/json") else ""
    )
    raise ApiError(f"Airflow's API answered {answer.status_code} to {answer.request.method} {answer.url}: {detail}")
