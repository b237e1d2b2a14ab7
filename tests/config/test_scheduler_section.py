"""The keys that say when to run: read as people write them, refused in one sentence where they cannot work."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lowtide.config.loader import load_config
from lowtide.config.schema import SchedulerConfig

from tests.support.configs import refusal, write_config


def section(tmp_path: Path, **keys: Any) -> SchedulerConfig:
    return load_config(write_config(tmp_path), settings(**keys)).values.scheduler


def settings(**keys: Any) -> dict[str, Any]:
    return {f"scheduler.{key.replace('__', '.')}": value for key, value in keys.items()}


def test_a_file_without_keys_gets_safe_defaults(tmp_path: Path) -> None:
    scheduler = section(tmp_path)
    assert (scheduler.run_now_below_gco2eq_per_kwh, scheduler.jitter, scheduler.learn_duration) == (None, None, False)
    assert (scheduler.percentile, scheduler.percentile_window) == (30.0, timedelta(days=7))
    assert scheduler.pausing.minimum_slice == timedelta(minutes=30)


@pytest.mark.parametrize("policy", ["threshold", "percentile", "window", "interruptible"])
def test_every_policy_that_waits_needs_a_deadline(tmp_path: Path, policy: str) -> None:
    assert section(tmp_path, policy=policy).policy == policy
    message = f"scheduler.policy '{policy}' waits, so it needs scheduler.deadline"
    assert message in refusal(write_config(tmp_path), settings(policy=policy, deadline=None))


def test_pausing_is_a_separate_section(tmp_path: Path) -> None:
    scheduler = section(tmp_path, pausing__minimum_slice="2h", pausing__resume_energy="90s", pausing__maximum_pauses=3)
    assert scheduler.pausing.minimum_slice == timedelta(hours=2)
    assert (scheduler.pausing.resume_energy, scheduler.pausing.maximum_pauses) == (timedelta(seconds=90), 3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"policy": "best"}, "scheduler.policy is 'best', which cannot be used: it should be 'immediate'"),
        ({"percentile": 0}, "scheduler.percentile is 0, which cannot be used: it should be greater than 0"),
        ({"percentile": 100}, "scheduler.percentile is 100, which cannot be used: it should be less than 100"),
        (
            {"percentile_window": "2h"},
            "scheduler.percentile_window is '2h', which cannot be used: a window holds at least a whole day",
        ),
        ({"run_now_below_gco2eq_per_kwh": 0}, "run_now_below_gco2eq_per_kwh is 0, which cannot be used: it should"),
        ({"run_now_below_gco2eq_per_kwh": 130}, "130 is above grid.threshold_gco2eq_per_kwh 120, which could then"),
        ({"poke_interval": "0s"}, "scheduler.poke_interval is '0s', which cannot be used: write a duration like"),
        (
            {"on_latest_start": "hope"},
            "scheduler.on_latest_start is 'hope', which cannot be used: it should be 'start'",
        ),
        ({"jitter": "0s"}, "scheduler.jitter is '0s', which cannot be used: write a duration like"),
        ({"jitter": "13h"}, "scheduler.jitter 13h is longer than the 11h50m that scheduler.deadline leaves"),
        ({"pausing__minimum_slice": "1m"}, "minimum_slice 1m is not longer than scheduler.pausing.resume_time 2m"),
        ({"pausing__maximum_pauses": -1}, "maximum_pauses is -1, which cannot be used: it should be greater than or"),
        ({"pausing__minimum": "1m"}, "unknown key 'scheduler.pausing.minimum'; did you mean"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    assert message in refusal(write_config(tmp_path), settings(**keys))


def test_run_now_below_may_lie_above_a_threshold_that_another_policy_does_not_use(tmp_path: Path) -> None:
    scheduler = section(tmp_path, policy="window", run_now_below_gco2eq_per_kwh=130.0)
    assert scheduler.run_now_below_gco2eq_per_kwh == 130.0


def test_jitter_with_a_clock_time_is_judged_at_submission(tmp_path: Path) -> None:
    assert section(tmp_path, jitter="3h", deadline="06:00").jitter == timedelta(hours=3)
