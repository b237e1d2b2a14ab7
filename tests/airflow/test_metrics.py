"""A training's figures as Airflow sends them: real StatsD packets, received on a socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.runs.run import Progress
from lowtide.trainer.mnist import ensure_mnist

from tests.support.config_files import write_config
from tests.support.records import make_record

pytestmark = pytest.mark.airflow
CLEAN_REPLAY = {"virtual_start": "2025-04-15T11:00", "speed": 60.0}
TAGS = {"dag_id": "nightly", "task_id": "train"}


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.5)
        for key, value in {"STATSD_ON": "True", "STATSD_HOST": "127.0.0.1", "STATSD_INFLUXDB_ENABLED": "True"}.items():
            monkeypatch.setenv(f"AIRFLOW__METRICS__{key}", value)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
        yield server
        monkeypatch.undo()
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


def received(server: socket.socket) -> list[tuple[str, float]]:
    found = []
    try:
        while True:
            name, _, value = server.recv(4096).decode().partition(":")
            found.append((name, value))
    except TimeoutError:
        return [(name, float(value.split("|")[0])) for name, value in found if "lowtide" in name]


def progress(**changes: float | None) -> Progress:
    return Progress(
        **{
            "phase": "train",
            "epoch": 1,
            "epochs": 3,
            "samples": 10,
            "samples_total": 30,
            "samples_per_s": 5.0,
            "loss": None,
            "power_w": 28.5,
            "energy_kwh": 0.002,
            "emissions_gco2eq": 0.4,
            "carbon_intensity_gco2eq_per_kwh": 200.0,
            **changes,
        }
    )


def test_power_energy_emissions_and_intensity_are_sent_with_dag_and_task(packets: socket.socket) -> None:
    from lowtide.airflow.training import progress_metrics

    logged: list[Progress] = []
    send = progress_metrics(TAGS, then=logged.append)
    send(progress())
    send(progress(power_w=99.0))
    tags = ",dag_id=nightly,task_id=train"
    assert dict(received(packets)) == {
        f"airflow.lowtide.training.power_w{tags}": 28.5,
        f"airflow.lowtide.training.energy_kwh{tags}": 0.002,
        f"airflow.lowtide.training.emissions_gco2eq{tags}": 0.4,
        f"airflow.lowtide.training.carbon_intensity_gco2eq_per_kwh{tags}": 200.0,
    }
    assert len(logged) == 2, "the log gets each, the metrics one in five seconds"


def test_no_intensity_is_sent_before_there_is_one_and_the_last_figures_are_the_records(packets: socket.socket) -> None:
    from lowtide.airflow.training import final_metrics, progress_metrics

    progress_metrics(TAGS, then=lambda _: None)(progress(carbon_intensity_gco2eq_per_kwh=None))
    assert not [name for name, _ in received(packets) if "intensity" in name]
    record = make_record()
    final_metrics(record, TAGS)
    values = {name.split(",")[0].rpartition(".")[2]: value for name, value in received(packets)}
    assert values == {
        "power_w": 0.0,
        "energy_kwh": record.energy_kwh.total,
        "emissions_gco2eq": record.emissions_gco2eq,
    }


def test_a_training_that_fails_or_defers_leaves_no_power_behind(packets: socket.socket) -> None:
    """A gauge keeps its last value: the dashboard would show a training for ever."""
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.triggers.testing import SuccessTrigger
    from lowtide.airflow.training import power_ends, progress_metrics

    for error in (RuntimeError(), TaskDeferred(trigger=SuccessTrigger(), method_name="resume")):
        with pytest.raises(type(error)), power_ends(TAGS):
            progress_metrics(TAGS, then=lambda _: None)(progress())
            raise error
        assert [value for name, value in received(packets) if "power_w" in name] == [28.5, 0.0]


def test_a_training_in_airflow_sends_them(packets: socket.socket, run_probe, tmp_path: Path) -> None:
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    outcome = run_probe("baseline", file=write_config(tmp_path, grid__replay=CLEAN_REPLAY))
    assert outcome.states == {"train": "success"}
    sent = {name.split(",")[0]: value for name, value in received(packets)}
    assert sent["airflow.lowtide.training.emissions_gco2eq"] == pytest.approx(
        outcome.xcoms["train"]["emissions_gco2eq"], rel=1e-9
    )
