"""Deadlines become absolute times at submission, also when the clocks change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.config.schema import LowtideConfig
from lowtide.scheduler.job import Job, job_from_config

from tests.support.grid import job


def config(**settings: object) -> LowtideConfig:
    path: Path = PROJECT_ROOT / "include" / "configs" / "optimized.yaml"
    return load_config(path, {key.replace("__", "."): value for key, value in settings.items()}).values


@pytest.mark.parametrize(
    ("submitted", "deadline"),
    [
        ("2026-03-28T22:00Z", "2026-03-29T05:00Z"),  # the night to summer time in London: 06:00 BST
        ("2026-10-24T22:00Z", "2026-10-25T06:00Z"),  # the night back: 06:00 GMT
        ("2026-12-31T23:59Z", "2027-01-01T06:00Z"),  # over the year's end
        ("2026-01-10T06:00Z", "2026-01-11T06:00Z"),  # submitted exactly then: the next one
        ("2026-01-10T05:59Z", "2026-01-10T06:00Z"),  # one minute before: hopeless, and not moved a day on
    ],
)
def test_six_o_clock_is_the_next_one_in_the_zone(submitted: str, deadline: str) -> None:
    fixed = job_from_config(config(), job_id="j", submitted_at=datetime.fromisoformat(submitted))
    assert fixed.deadline == datetime.fromisoformat(deadline)


def test_a_clock_time_in_the_gap_and_one_that_comes_twice() -> None:
    gap = job_from_config(
        config(scheduler__deadline="01:30"), job_id="j", submitted_at=datetime(2026, 3, 28, 22, tzinfo=UTC)
    )
    twice = job_from_config(
        config(scheduler__deadline="01:30"), job_id="j", submitted_at=datetime(2026, 10, 24, 22, tzinfo=UTC)
    )
    assert gap.deadline == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 BST
    assert twice.deadline == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # the first, still BST


def test_the_job_of_a_configuration_survives_json_and_keeps_its_deadline() -> None:
    fixed = job_from_config(config(), job_id="j", submitted_at=datetime(2026, 3, 28, 22, tzinfo=UTC))
    assert Job.from_json(fixed.as_json()) == fixed
    assert fixed.expected_duration == timedelta(minutes=10)
    assert fixed.latest_start == datetime(2026, 3, 29, 4, 48, tzinfo=UTC)


def test_a_local_deadline_loses_no_hour_when_the_clocks_change() -> None:
    from lowtide.config.zones import find_zone

    london = find_zone("GB").timezone
    local = job(deadline=datetime(2026, 3, 29, 3, 0, tzinfo=london), expected_duration=timedelta(hours=4))
    assert local.latest_start == datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
