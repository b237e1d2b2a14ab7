"""One local Airflow: ``airflow standalone`` on loopback, below a supervisor that ends all of it; and its REST API."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from local.bootstrap import ROOT, LocalError, check_space, last_lines
from local.supervisor import note_signals, spawn

HOME = Path(os.environ.get("LOCAL_HOME", ROOT / ".airflow"))  # bin/airflow reads these variables too
ARTIFACTS = Path(os.environ.get("LOCAL_ARTIFACTS", ROOT / "artifacts"))
NEEDED_BYTES = 500 * 1000**2
DEMO_PREFIX = "demo__"  # what the ids of the demo's runs start with
_AIRFLOW = f"'{ROOT}/local/bin/airflow'"

# On SQLite, Airflow's API server blocks itself: its event loop waits for another call's write, which can commit only when the
# loop is free. After 5 s it answers 500, "database is locked", and has done nothing of the call: the call is repeated.
_LOCKED = Retry(connect=0, read=0, status=4, status_forcelist=(500, 503), allowed_methods=None, raise_on_status=False)


class Api:
    """Calls Airflow's REST API as the admin; logs in when it must."""

    def __init__(self, url: str, home: Path = HOME) -> None:
        self._url, self._home = url, home
        self._session = requests.Session()
        self._session.mount(url, HTTPAdapter(max_retries=_LOCKED.new(backoff_factor=0.2)))
        self._session.trust_env = False  # neither a proxy nor ~/.netrc applies to loopback

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer; a LocalError says that the API answers with an error, or not at all."""
        try:
            answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=30)
        except requests.RequestException as error:
            raise LocalError(f"Airflow's API at {self._url} does not answer ({type(error).__name__}).", 1) from error
        if answer.status_code == requests.codes.unauthorized and path != "auth/token":  # no token yet, or an old one
            token = self.call("POST", "auth/token", {"username": "admin", "password": self.password()})["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
            return self.call(method, path, body)
        if not answer.ok:  # the API's own detail only: the body of a refused login repeats the credentials
            detail = answer.json().get("detail") if "json" in answer.headers["content-type"] else answer.reason
            raise LocalError(f"Airflow's API answered {answer.status_code} to {method} {answer.url}: {detail}", 1)
        return answer.json()

    def password(self) -> str:
        """Return the admin's password, which bin/airflow generates."""
        return str(json.loads((self._home / "passwords.json").read_text(encoding="utf-8"))["admin"])

    def is_healthy(self, since: float) -> bool:
        """Return whether all parts are healthy by a heartbeat after ``since``: those of a killed Airflow do not count."""
        with contextlib.suppress(LocalError, KeyError, TypeError):
            health = self.call("GET", "api/v2/monitor/health")
            beats = [health[name][f"latest_{name}_heartbeat"] for name in ("scheduler", "triggerer", "dag_processor")]
            is_fresh = all(datetime.fromisoformat(beat).timestamp() >= since for beat in beats)
            return is_fresh and all(part["status"] == "healthy" for part in health.values())
        return False

    def end_demo(self, unpaused: list[str]) -> None:
        """Mark the demo's open runs and their tasks as failed, since nothing follows them any more; pause its DAGs."""
        query = f"limit=100&state=queued&state=running&run_id_prefix_pattern={DEMO_PREFIX}"
        for run in self.call("GET", f"api/v2/dags/~/dagRuns?{query}")["dag_runs"]:
            if run["dag_run_id"].startswith(DEMO_PREFIX):  # Airflow ignores underscores at the pattern's end
                self.call("PATCH", f"api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
        for dag_id in unpaused:
            self.call("PATCH", f"api/v2/dags/{dag_id}", {"is_paused": True})


class LocalAirflow:
    """Starts, watches and ends one Airflow; where not ``scheduled``, DAGs do not run on their own schedule."""

    def __init__(self, port: int, *, scheduled: bool) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self._settings = {"LOCAL_PORT": str(port), "LOCAL_SCHEDULED": str(scheduled), "LOCAL_PYTHON": sys.executable}
        self._signals = note_signals()
        self._spawned: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def state(self) -> dict[str, Any]:
        """What runs here, and what a demo unpaused: for ``make down`` and for a start after a runner was killed."""
        file = HOME / "state.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    def remember(self, **changes: Any) -> None:
        """Change the state in one step."""
        (HOME / "state.part").write_text(json.dumps(self.state | changes), encoding="utf-8")
        (HOME / "state.part").replace(HOME / "state.json")

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a command below a supervisor; its output goes to a new log, and as long as it runs, a file is locked."""
        (HOME / f"{name}.log").unlink(missing_ok=True)
        with (HOME / f"{name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._spawned[name] = spawn([*command], HOME / f"{name}.log", os.environ | self._settings, lock.fileno())
        return self._spawned[name]

    @contextlib.contextmanager
    def started(self, *, keep: bool = False) -> Iterator[Api]:
        """Start Airflow, return its API when it is healthy, and end all of it afterwards, unless it is to be kept."""
        api, since = Api(self.url), time.time()
        # What a killed demo unpaused is paused before there is a scheduler: that would resume its runs.
        unpaused = "|".join(self.state.get("unpaused", []))
        pause = f"{_AIRFLOW} dags pause --yes --treat-dag-id-as-regex '^({unpaused})$'; " if unpaused else ""
        try:
            self.remember(supervisor=None, keep=keep, url=self.url)
            self.remember(supervisor=self.spawn("standalone", "sh", "-c", f"{pause}exec {_AIRFLOW} standalone").pid)
            self.wait_until(lambda: api.is_healthy(since), "Airflow's start")
            if all(pool["name"] != "gpu" for pool in api.call("GET", "api/v2/pools")["pools"]):
                pool = {"name": "gpu", "slots": 1, "description": "One training at a time", "include_deferred": False}
                api.call("POST", "api/v2/pools", pool)
            api.end_demo([])
            self.remember(unpaused=[])
            yield api
            if keep:
                self._spawned.pop("standalone").stdin.write(b"k")  # type: ignore[union-attr]
        finally:
            for process in self._spawned.values():
                process.communicate()  # closes its standard input, which ends it, and waits

    def check(self) -> None:
        """Return if all runs; a LocalError says that a signal came, a command failed, or a component of Airflow ended."""
        if self._signals:
            raise LocalError("\nInterrupted; everything that was started has been stopped.", 128 + self._signals[0])
        for name, process in self._spawned.items():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile: the next check sees its status
                command = psutil.Process(process.pid).children()[:1] if process.poll() is None else []
                states = [part.status() for parent in command for part in parent.children()]
                # standalone does not notice that a component ended, and leaves it a zombie
                if process.returncode or psutil.STATUS_ZOMBIE in states:
                    lines = "\n    ".join(last_lines(HOME / f"{name}.log", 12))
                    raise LocalError(f"Command {name} failed:\n    {lines}\n  log: {HOME / f'{name}.log'}", 1)

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
        """Ask every half second until ready; a LocalError says that it takes too long, or what ``check`` found."""
        give_up = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > give_up:
                raise LocalError(f"{what} took more than {timeout_s:.0f} s; the logs are in {HOME}.", 1)
            time.sleep(0.5)

    def check_machine(self) -> None:
        """Return if an Airflow can be started; a LocalError says that the port is in use, or too little space free."""
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == self.port:
                holder = f"process {one.pid}" if one.pid else "another process"
                raise LocalError(f"Port {self.port} is in use by {holder}; end it or choose another, e.g. PORT=8090.")
        for folder in (HOME, ARTIFACTS):
            check_space(folder, NEEDED_BYTES)

    def is_running(self) -> bool:
        """Return whether an Airflow runs here."""
        with (HOME / "standalone.lock").open("ab") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        return True

    def stop(self) -> bool:
        """End the Airflow that runs here; return whether there was one."""
        was_running = self.is_running()
        with contextlib.suppress(ProcessLookupError):
            if was_running and (pid := self.state.get("supervisor")):  # it is the supervisor's as long as that runs
                os.kill(pid, signal.SIGTERM)
        while self.is_running():
            time.sleep(0.1)
        return was_running
