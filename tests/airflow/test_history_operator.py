"""The history operator in real Airflow, asking a loopback NESO through a connection."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from lowtide.timeutil import parse_time, utc_now

from tests.support.config_files import write_config
from tests.support.history import HOUR, files, store
from tests.support.loopback import Loopback, status
from tests.support.neso_server import serve_neso

pytestmark = pytest.mark.airflow
CONNECTION = "grid_history_test"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback() as running:
        serve_neso(running, utc_now)
        address = running.url.removeprefix("http://")
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", f"carbon-intensity://{address}/http")
        yield running


def live_config(folder: Path, **grid: object) -> Path:
    return write_config(folder, grid={"zone": "GB", "provider": "neso", "threshold_gco2eq_per_kwh": 120, **grid})


def test_a_run_fills_the_store_and_reports_it(run_probe, server: Loopback, tmp_path: Path) -> None:
    outcome = run_probe("record_history", file=live_config(tmp_path), days=3)
    assert outcome.states == {"record": "success"}
    xcom = outcome.xcoms["record"]
    assert xcom["filled"]["news"] >= 3 * 48 + 90
    assert xcom["filled"]["failures"] == []
    assert xcom["coverage"]["actual_percent"] > 95
    kept = store(tmp_path / "artifacts", connection=CONNECTION)
    assert str(kept.folder) == xcom["path"]
    now = utc_now()
    assert kept.coverage(now - timedelta(days=2), now - HOUR).gaps == ()
    assert all(
        parse_time(gap["end"]) > now - HOUR or parse_time(gap["start"]) < now - 2.9 * timedelta(days=1)
        for gap in xcom["coverage"]["gaps"]
    )


def test_a_second_run_stores_nothing_that_is_known(run_probe, server: Loopback, tmp_path: Path) -> None:
    config = live_config(tmp_path)
    run_probe("record_history", file=config, days=2)
    kept = store(tmp_path / "artifacts", connection=CONNECTION)
    before = kept.known(utc_now() - timedelta(days=2), utc_now() - HOUR)
    again = run_probe("record_history", file=config, days=2).xcoms["record"]
    assert again["filled"]["news"] <= 2  # a half-hour may have passed meanwhile
    assert store(kept.folder.parents[4], connection=CONNECTION).known(before[0].start, before[-1].end) == before


def test_an_unavailable_provider_fails_the_task_so_that_it_is_retried(
    run_probe, server: Loopback, tmp_path: Path
) -> None:
    server.route("/intensity", status(404))
    server.route("/intensity/*", status(404))
    outcome = run_probe("record_history", file=live_config(tmp_path), days=2)
    assert outcome.states == {"record": "failed"}
    assert not (tmp_path / "artifacts" / "history").exists()


def test_a_replayed_grid_has_no_history(run_probe, server: Loopback, tmp_path: Path) -> None:
    outcome = run_probe("record_history", file=write_config(tmp_path), days=2)
    assert outcome.states == {"record": "skipped"}
    assert server.seen == []


def test_a_damaged_file_is_reported_in_the_xcom_and_set_aside(run_probe, server: Loopback, tmp_path: Path) -> None:
    config = live_config(tmp_path)
    run_probe("record_history", file=config, days=2)
    # in the first days of a month there are two
    damaged = [file for file in files(store(tmp_path / "artifacts", connection=CONNECTION)) if ".actual." in file.name]
    for file in damaged:
        file.write_bytes(b"x")
    xcom = run_probe("record_history", file=config, days=2).xcoms["record"]
    aside = [file.with_name(file.name + ".damaged") for file in damaged]
    assert sorted(xcom["coverage"]["unreadable_files"]) == sorted(file.name for file in aside)
    assert all(file.read_bytes() == b"x" for file in aside)
    assert all(file.exists() for file in damaged)
    assert xcom["filled"]["news"] > 40, "what was in the damaged file is requested and stored again"
