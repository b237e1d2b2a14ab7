"""What make up leaves running is on loopback behind a password, and make down ends all of it."""

import io
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests
from rich.console import Console

from local import instance as instances
from local import processes
from local.places import PROJECT_ROOT, Places
from local.ports import HOST, demand_free, free_port
from local.secrets_files import USER, password
from local.up_down import down
from tests.local.demo_driver import places_in
from tests.local.subreaper import no_process_left

pytestmark = pytest.mark.e2e


def listeners(places: Places) -> set[str]:
    """The addresses that the instance's processes listen on."""
    there = instances.read(places.instance)
    assert there
    found = set()
    for process in processes.family(there):
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(f"{connection.laddr[0]}:{connection.laddr[1]}")
    return found


def start(folder: Path, port: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.local.demo_driver", str(folder), str(port), "up"]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_up_serves_on_loopback_behind_a_password_until_down(tmp_path: Path) -> None:
    places, port = places_in(tmp_path), free_port()
    for folder in (places.dags, places.plugins):
        folder.mkdir()
    base = f"http://{HOST}:{port}"
    console = Console(file=io.StringIO(), width=200)
    with no_process_left():
        try:
            started = start(tmp_path, port)
            assert started.returncode == 0, started.stderr
            for words in (base, USER, password(places.passwords), "make down"):
                assert words in started.stdout
            assert listeners(places) == {f"{HOST}:{port}"}
            check_access(base, places)
            again = start(tmp_path, port)
            assert (again.returncode, again.stderr.count("make down first")) == (2, 1)
        finally:
            down(places, console)
    assert isinstance(console.file, io.StringIO)
    assert "Airflow stopped (" in console.file.getvalue()
    demand_free(port)


def check_access(base: str, places: Places) -> None:
    assert requests.get(f"{base}/api/v2/dags", timeout=30).status_code == 401
    login = {"username": USER, "password": password(places.passwords)}
    token = requests.post(f"{base}/auth/token", json=login, timeout=30).json()["access_token"]
    pool = requests.get(f"{base}/api/v2/pools/gpu", headers={"Authorization": f"Bearer {token}"}, timeout=30).json()
    assert (pool["slots"], pool["include_deferred"]) == (1, False)
