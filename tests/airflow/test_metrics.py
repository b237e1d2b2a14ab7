"""A training's figures as Airflow sends them: real StatsD packets, received on a socket."""

import socket
from collections.abc import Iterator

import pytest
from lowtide.runs.run import Progress

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
    from lowtide.airflow.training import TrainingMetrics

    metrics = TrainingMetrics(TAGS)
    metrics.progress(progress())
    metrics.progress(progress(power_w=99.0))  # one in five seconds
    tags = ",dag_id=nightly,task_id=train"
    assert dict(received(packets)) == {
        f"airflow.lowtide.training.power_w{tags}": 28.5,
        f"airflow.lowtide.training.energy_kwh{tags}": 0.002,
        f"airflow.lowtide.training.emissions_gco2eq{tags}": 0.4,
        f"airflow.lowtide.training.carbon_intensity_gco2eq_per_kwh{tags}": 200.0,
    }


def test_no_intensity_is_sent_before_there_is_one_and_power_ends_with_the_training(packets: socket.socket) -> None:
    from lowtide.airflow.training import TrainingMetrics

    with TrainingMetrics(TAGS) as metrics:
        metrics.progress(progress(carbon_intensity_gco2eq_per_kwh=None))
        assert not [name for name, _ in received(packets) if "intensity" in name]
        metrics.send(energy_kwh=0.004, emissions_gco2eq=0.8)
    values = {name.split(",")[0].rpartition(".")[2]: value for name, value in received(packets)}
    assert values == {"power_w": 0.0, "energy_kwh": 0.004, "emissions_gco2eq": 0.8}


def test_a_training_that_fails_or_defers_leaves_no_power_behind(packets: socket.socket) -> None:
    """A gauge keeps its last value: the dashboard would show a training for ever."""
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.triggers.testing import SuccessTrigger
    from lowtide.airflow.training import TrainingMetrics

    for error in (RuntimeError(), TaskDeferred(trigger=SuccessTrigger(), method_name="resume")):
        with pytest.raises(type(error)), TrainingMetrics(TAGS) as metrics:
            metrics.progress(progress())
            raise error
        assert [value for name, value in received(packets) if "power_w" in name] == [28.5, 0.0]
