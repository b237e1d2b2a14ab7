"""Finding and ending every process of an instance.

Three ways, because each has a hole. Descendants: lost once a parent died. The marker in the environment: lost where a
process renames itself, since setproctitle writes over its environment (Airflow's workers do). The session of a
component: left by a process that starts its own.
"""

import os
import signal
import time
from collections.abc import Iterable

import psutil

from local.environment import MARKER
from local.instance import Instance

_CLOCK_SLACK_S = 2.0


def family(instance: Instance) -> set[psutil.Process]:
    """Return the living processes of an instance, without this one."""
    leaders = living_leaders(instance)
    since = min((member.create_time for member in instance.members), default=time.time())
    sessions = {member.pid for member in instance.members}
    found = set(leaders)
    for process in psutil.process_iter():
        if _carries(process, instance.id) or _in_session(process, sessions, since):
            found.add(process)
    return _with_descendants(found) - {psutil.Process()}


def living_leaders(instance: Instance) -> list[psutil.Process]:
    """Return the components that still are the processes that were started."""
    found = []
    for member in instance.members:
        try:
            process = psutil.Process(member.pid)
            if abs(process.create_time() - member.create_time) < _CLOCK_SLACK_S:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return [process for process in found if _alive(process)]


def end(instance: Instance, *, patience_s: float = 6.0) -> int:
    """Ask every process of an instance to leave, then make it; return how many there were.

    :param patience_s: how long they may take; a running task is not waited for.
    """
    members = family(instance)
    total = len(members)
    _signal(members, signal.SIGTERM)
    psutil.wait_procs(members, timeout=patience_s)
    for _ in range(50):  # a process that forked while it was being ended leaves a new one
        remaining = {process for process in members | family(instance) if _alive(process)}
        if not remaining:
            break
        members |= remaining
        _signal(remaining, signal.SIGKILL)
        psutil.wait_procs(remaining, timeout=0.2)
    return total


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _carries(process: psutil.Process, instance_id: str) -> bool:
    try:
        return process.environ().get(MARKER) == instance_id
    except (psutil.Error, OSError):  # of another user, or just gone
        return False


def _in_session(process: psutil.Process, sessions: set[int], since: float) -> bool:
    # The kernel does not give a process id away while a session bears it; the start time guards the case that the whole
    # session died and its number came round again before the instance was read.
    try:
        return os.getsid(process.pid) in sessions and process.create_time() >= since - _CLOCK_SLACK_S
    except (psutil.Error, OSError):
        return False


def _with_descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for process in list(found):
        try:
            found.update(process.children(recursive=True))
        except psutil.Error:
            continue
    return found
