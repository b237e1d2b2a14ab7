"""The trigger by itself: what it stores, when it fires, and that a rebuilt one keeps its promise."""

import asyncio
import json
from datetime import timedelta

import pytest
from airflow.sdk.module_loading import import_string
from lowtide.config.loader import load_config
from lowtide.grid.factory import replay_anchor
from lowtide.records import ReplayAnchor
from lowtide.scheduler.job import job_from_config
from lowtide.timeutil import format_time, utc_now

from tests.support.config_files import write_config


@pytest.fixture
def arguments(tmp_path):
    config = load_config(
        write_config(tmp_path, grid__replay={"virtual_start": "2025-04-15T05:00", "speed": 14400.0})
    ).values
    anchor = replay_anchor(config.grid, utc_now())
    return {
        "job": job_from_config(config, job_id="test", submitted_at=anchor.virtual_start).as_json(),
        "grid": config.grid.model_dump(mode="json"),
        "anchor": anchor.model_dump(mode="json"),
        "not_before": format_time(utc_now()),
    }


def rebuilt(arguments):
    from lowtide.airflow.trigger import CarbonIntensityTrigger

    path, kwargs = CarbonIntensityTrigger(**arguments).serialize()
    # what Airflow does: the arguments go through its database as JSON, and the class is found by its path
    return import_string(path)(**json.loads(json.dumps(kwargs)))


async def first_event(trigger):
    return await anext(trigger.run())


def test_serialized_arguments_rebuild_a_trigger_that_serializes_the_same(arguments):
    once = rebuilt(arguments)
    assert once.serialize() == rebuilt(once.serialize()[1]).serialize()


def test_fires_once_the_grid_is_clean_with_all_its_checks(arguments):
    event = asyncio.run(first_event(rebuilt(arguments)))
    assert event.payload["decision"]["reason"] == "below_threshold"
    assert [check["action"] for check in event.payload["checks"]][-1] == "run"
    json.dumps(event.payload)


def test_fires_no_event_before_it_is_safe_to_resume(arguments):
    anchor = ReplayAnchor.model_validate(arguments["anchor"])
    real_clean = anchor.real(anchor.virtual_start + timedelta(hours=4))
    not_before = real_clean + timedelta(seconds=2)
    event = asyncio.run(first_event(rebuilt(arguments | {"not_before": format_time(not_before)})))
    assert utc_now() >= not_before
    assert event.payload["decision"]["action"] == "run"


def test_a_trigger_rebuilt_after_a_kill_keeps_the_same_latest_start(arguments):
    job = arguments["job"] | {"threshold_gco2eq_per_kwh": 1.0}
    before, after = rebuilt(arguments | {"job": job}), rebuilt(arguments | {"job": job})

    async def killed_then_rebuilt():
        killed = asyncio.create_task(first_event(before))
        await asyncio.sleep(1.5)
        killed.cancel()
        return await first_event(after)

    decision = asyncio.run(killed_then_rebuilt()).payload["decision"]
    assert decision["reason"] == "deadline"
    assert decision["deadline"] == arguments["job"]["deadline"]


def test_an_error_reaches_the_task_as_one_sentence(arguments, tmp_path):
    grid = arguments["grid"] | {
        "replay": {"trace": str(tmp_path / "gone.csv"), "virtual_start": "2025-04-15T05:00", "speed": 1.0}
    }
    event = asyncio.run(first_event(rebuilt(arguments | {"grid": grid})))
    assert "gone.csv" in event.payload["error"]
    assert "\n" not in event.payload["error"]
