"""``micro_batch_size: auto``: the largest micro-batch that meets the target, and the effective batch stays."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.schema import MemoryTarget, parse_memory_target
from lowtide.errors import ConfigurationError, TrainingStopped
from lowtide.trainer.batch_size import Measure, Peaks, candidates, largest_within, probe, unaccumulated_peak_bytes
from lowtide.trainer.checkpoint import Checkpointer
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.protocol import CheckpointPlan, EventKind, Requests, TrainingEvent, TrainingResult
from lowtide.trainer.trainer import Training

from tests.trainer.conftest import MakeConfig

MIB = 2**20


def affine(fixed: float, each: float, most: int | None = None) -> tuple[Measure, list[int]]:
    """Memory that grows with the micro-batch; more than ``most`` samples do not fit at all."""
    asked: list[int] = []

    def measure(sizes: Sequence[int]) -> Peaks:
        asked.extend(sizes)
        return {size: int(fixed + each * size) for size in sizes if most is None or size <= most}

    return measure, asked


@given(effective=st.integers(1, 3000))
def test_candidates_divide_the_effective_batch_and_at_least_halve(effective: int) -> None:
    sizes = candidates(effective)
    assert (sizes[0], sizes[-1]) == (effective, 1)
    assert all(effective % size == 0 for size in sizes)
    assert all(2 * smaller <= larger for larger, smaller in pairwise(sizes))


def test_candidates_of_a_power_of_two_are_the_powers_of_two() -> None:
    assert candidates(512) == [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
    assert candidates(50) == [50, 25, 10, 5, 2, 1]


@given(
    effective=st.integers(2, 3000),
    fixed=st.floats(0, 50),
    share=st.floats(0.05, 1.0),
)
def test_the_probe_finds_the_largest_candidate_that_meets_the_target(
    effective: int, fixed: float, share: float
) -> None:
    """Against measuring every candidate; none is measured twice, so there are no more than 12 trials."""
    scale = 10_000.0
    measure, asked = affine(fixed * scale, scale)
    target = MemoryTarget(share=share)
    peaks = probe(measure, target, effective)
    limit = target.limit_bytes(peaks[effective])
    fitting = [size for size in candidates(effective) if int(fixed * scale + scale * size) <= limit]
    assert largest_within(peaks, limit) == max(fitting, default=None)
    assert sorted(set(asked)) == sorted(asked)
    assert len(asked) <= 12


def test_where_the_whole_batch_does_not_fit_its_peak_is_put_on_a_line() -> None:
    measure, _ = affine(20 * MIB, MIB, most=200)
    peaks = probe(measure, MemoryTarget(share=0.5), 512)
    assert 512 not in peaks
    assert unaccumulated_peak_bytes(peaks, 512) == pytest.approx(532 * MIB, rel=0.01)
    assert largest_within(peaks, 266 * MIB) == 128  # 256 do not fit


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("50%", 500),
        ("100%", 1000),
        ("12.5 %", 125),
        ("600", 600),
        (600, 600),
        ("2kB", 2000),
        ("1KiB", 1024),
        ("0.5MiB", MIB / 2),
    ],
)
def test_a_target_is_a_share_or_a_size(text: object, limit: float) -> None:
    assert parse_memory_target(text).limit_bytes(1000) == limit


@pytest.mark.parametrize("text", ["0%", "101%", "half", "", "-1", "0", "2 GIB", None, True, 0.5])
def test_other_targets_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="write a share of the unaccumulated peak like 50%"):
        parse_memory_target(text)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("memory_target", ["60MiB", "60%"])
def test_auto_measures_real_steps_and_the_training_itself_keeps_within_the_target(
    memory_target: str, training_config: MakeConfig, make_child: Callable[..., TrainingChild]
) -> None:
    """In a child as always, whose resident set differs from the trial's by a tenth and more; the effective batch stays."""
    parts: dict[str, Any] = {
        "model": "lowtide.trainer.models:small_cnn",
        "effective_batch_size": 128,
        "accumulation_steps": None,
        "micro_batch_size": "auto",
        "memory_target": memory_target,
    }
    events = events_of(make_child(training_config(**parts)))
    startups = [event.monotonic_s for event in events if event.data.get("phase") == "startup"]
    assert len(startups) >= 6  # progress after each size, so that stall_timeout does not end a long trial
    assert startups[-1] - startups[1] > 0.05  # as they came, not all at the end
    (message,) = [event.data["message"] for event in events if event.kind is EventKind.NOTE]
    limit_mib = int(re.findall(r"the target \S+ is (\d+) MiB", message)[0])
    result = TrainingResult.model_validate(events[-1].data)
    assert message.startswith(
        f"training.micro_batch_size auto: {result.micro_batch_size} x {result.accumulation_steps}, "
    )
    assert "a margin of 25% is kept" in message
    assert result.peak_memory_bytes <= limit_mib * MIB
    assert 1 <= result.micro_batch_size < 128
    assert result.effective_batch_size == 128
    assert result.micro_batch_size * result.accumulation_steps == 128
    assert result.optimizer_steps == 16
    assert not [event.data for event in events if event.kind is EventKind.WARNING]


@pytest.mark.timeout(240)
def test_a_peak_above_the_target_is_a_warning(
    training_config: MakeConfig, make_child: Callable[..., TrainingChild]
) -> None:
    """Where the training needs more than its trial did, as where a user's model grows while it trains."""
    parts: dict[str, Any] = {
        "model": "user_code:Growing",
        "effective_batch_size": 128,
        "accumulation_steps": None,
        "micro_batch_size": "auto",
        "epochs": 24,
    }
    events = events_of(make_child(training_config(**parts, memory_target="150MiB")))
    (warning,) = [str(event.data["message"]) for event in events if event.kind is EventKind.WARNING]
    assert re.match(
        r"the peak of \d+ MiB is above training.memory_target 150MiB, though a trial of .* 128 kept within it", warning
    )
    assert TrainingResult.model_validate(events[-1].data).peak_memory_bytes > 256 * MIB


def events_of(child: TrainingChild) -> list[TrainingEvent]:
    """What a child says until it has finished."""
    heard: list[TrainingEvent] = []
    with child:
        child.start()
        while not heard or heard[-1].kind is not EventKind.FINISHED:
            event = child.next_event(60)
            heard += [] if event is None else [event]
    return heard


@pytest.mark.parametrize(
    ("target", "kept"),
    [("100MB", 80_000_000), ("50%", 400), ("100%", 1000)],
)
def test_a_margin_lowers_what_a_trial_may_peak_at_but_the_whole_is_the_whole(target: str, kept: float) -> None:
    assert parse_memory_target(target).limit_bytes(1000, margin=0.25) == pytest.approx(kept)


def test_a_target_below_what_one_sample_takes_is_one_sentence(training_config: MakeConfig) -> None:
    parts: dict[str, Any] = {
        "micro_batch_size": "auto",
        "effective_batch_size": 16,
        "accumulation_steps": None,
        "memory_target": "1kB",
    }
    with pytest.raises(
        ConfigurationError, match=r"memory_target 1kB \(0 MiB\) cannot be met: even a micro-batch of 1 peaks"
    ):
        Training(training_config(**parts), emit=lambda kind, data: None)


def test_a_users_mistake_raises_the_same_error_as_without_a_trial(training_config: MakeConfig) -> None:
    parts: dict[str, Any] = {"micro_batch_size": "auto", "effective_batch_size": 64, "accumulation_steps": None}
    with pytest.raises(ConfigurationError, match="there is no module 'no_such_package'"):
        Training(training_config(**parts, model="no_such_package:net"), emit=lambda kind, data: None)


def test_a_stop_during_the_trial_ends_it(training_config: MakeConfig, tmp_path: Path) -> None:
    """Asked for after the first size: the trial's process is gone when the training has left."""
    parts: dict[str, Any] = {"micro_batch_size": "auto", "effective_batch_size": 512, "accumulation_steps": None}
    training = training_config(**parts, memory_target="1kB")  # else it would be refused after the last size
    heard: list[tuple[EventKind, dict[str, object]]] = []
    requests = Requests()

    def hear(kind: EventKind, data: dict[str, object]) -> None:
        heard.append((kind, data))
        requests.stop.set()

    plan = CheckpointPlan(folder=tmp_path / "c", run_id="r", training_id="t")
    checkpointer = Checkpointer(plan, training, emit=hear, requests=requests)
    with pytest.raises(TrainingStopped):
        Training(training, emit=hear, checkpointer=checkpointer)
    assert heard == [
        (EventKind.PHASE, {"phase": "startup"}),
        (EventKind.STOPPED, {"requested": "stop", "optimizer_step": 0, "checkpoint": None}),
    ]
    assert trial_processes() == []


def trial_processes() -> list[str]:
    """The trial processes that this one still has."""
    found = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return [line for line in found.stdout.splitlines() if "lowtide.trainer.worker" in line]
