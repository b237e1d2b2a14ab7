"""The four processes of a local Airflow, each in a session of its own with a log of its own."""

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil

from local import processes
from local.environment import airflow_environment
from local.instance import Instance, Member, Mode
from local.places import Places
from local.problems import ComponentFailed, with_last_lines

# The log servers would listen on every interface of the machine; here all logs are files that the API server reads.
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


AIRFLOW_COMMAND = (sys.executable, "-m", "airflow")


class LocalAirflow:
    """Starts, watches and ends the processes of one instance."""

    def __init__(self, places: Places, *, port: int, scheduled: bool) -> None:
        self.places = places
        self.port = port
        self.instance = Instance(id=uuid.uuid4().hex, port=port, mode="starting")
        self.environment = airflow_environment(places, port=port, instance_id=self.instance.id, scheduled=scheduled)
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._components: dict[str, subprocess.Popen[bytes]] = {}

    def log_of(self, name: str) -> Path:
        """Return where a process's output goes."""
        return self.places.component_logs / f"{name}.log"

    def start(self) -> None:
        """Start the four components at the same time."""
        for name, arguments in COMPONENTS.items():
            self._components[name] = self.spawn(name, [*AIRFLOW_COMMAND, *arguments])

    def spawn(self, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
        """Start a process that belongs to the instance."""
        with self.log_of(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.places.project_root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the runner alone, which then ends things in order
            )
        self._spawned.append(process)
        self._remember(name, process.pid)
        return process

    def finish(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        """Wait for a command that was spawned, watching the components meanwhile.

        :raises ComponentFailed: it failed, or a component did; with the last lines of the log.
        """
        while process.poll() is None:
            self.check()
            time.sleep(0.1)
        if process.returncode != 0:
            sentence = f"{name} failed with status {process.returncode}; it said:"
            raise ComponentFailed(with_last_lines(sentence, self.log_of(name)))

    def check(self) -> None:
        """Return if every component still runs.

        :raises ComponentFailed: one ended; with the last lines of its log.
        """
        for name, process in self._components.items():
            if process.poll() is not None:
                sentence = f"Airflow's {name} ended with status {process.returncode}; it said:"
                raise ComponentFailed(with_last_lines(sentence, self.log_of(name)))

    def wait_until(self, ready: Callable[[], bool], *, what: str, timeout_s: float) -> None:
        """Ask every half second until ready, watching the processes meanwhile.

        :raises ComponentFailed: a process ended, or it took too long.
        """
        give_up = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > give_up:
                raise ComponentFailed(
                    f"{what} took more than {timeout_s:.0f} s; the logs are in {self.places.component_logs}."
                )
            time.sleep(0.5)

    def mark(self, mode: Mode) -> None:
        """Record what the instance is for."""
        self.instance.mode = mode
        self.instance.write(self.places.instance)

    def stop(self) -> None:
        """End every process of the instance, and forget it."""
        processes.end(self.instance)
        for process in self._spawned:
            process.wait()
        self.places.instance.unlink(missing_ok=True)

    def _remember(self, name: str, pid: int) -> None:
        created = psutil.Process(pid).create_time()
        self.instance.members.append(Member(name=name, pid=pid, create_time=created))
        self.instance.write(self.places.instance)
