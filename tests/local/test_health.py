"""Healthy means: all four parts, heard of since this start."""

from datetime import UTC, datetime
from typing import Any

import pytest

from local.startup import is_healthy

START = datetime(2026, 4, 15, 12, 0, tzinfo=UTC).timestamp()


def answer(beat: str = "2026-04-15T12:00:05+00:00", **changed: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": beat},
        "triggerer": {"status": "healthy", "latest_triggerer_heartbeat": beat},
        "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": beat},
    }
    return parts | changed


def test_all_parts_heard_of_since_the_start_are_healthy() -> None:
    assert is_healthy(answer(), START)


def test_heartbeats_of_an_earlier_instance_do_not_count() -> None:
    assert not is_healthy(answer(beat="2026-04-15T11:59:58+00:00"), START)


@pytest.mark.parametrize("part", ["metadatabase", "scheduler", "triggerer", "dag_processor"])
def test_each_part_must_be_healthy(part: str) -> None:
    assert not is_healthy(answer(**{part: {"status": "unhealthy"}}), START)
    assert not is_healthy(answer(**{part: {"status": None}}), START)
    assert not is_healthy(answer(**{part: None}), START)


def test_no_answer_is_not_healthy() -> None:
    assert not is_healthy(None, START)
