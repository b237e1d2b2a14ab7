"""A training's figures as Airflow sends them: real StatsD packets, received on a socket."""

import socket
from collections.abc import Iterator

import pytest
from lowtide.runs.run import Progress

from tests.support.records import make_record
from tests.support.statsd import received, statsd_packets

pytestmark = pytest.mark.airflow
TAGS = {"dag_id": "nightly", "task_id": "train"}


@pytest.fixture
def packets() -> Iterator[socket.socket]:
    with statsd_packets() as server:
        yield server


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
