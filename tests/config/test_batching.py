"""How an effective batch is cut: two of three figures give the third, and contradictions are one sentence."""

from pathlib import Path

import pytest
from lowtide.config.loader import load_config
from lowtide.config.schema import largest_divisor

from tests.support.configs import refusal, write_config

BATCHING = "  micro_batch_size: 128\n  accumulation_steps: 4\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  micro_batch_size: 128\n  accumulation_steps: 4\n", (128, 4, 512)),
        ("  micro_batch_size: 128\n  effective_batch_size: 512\n", (128, 4, 512)),
        ("  micro_batch_size: 128\n  accumulation_steps: 4\n  effective_batch_size: null\n", (128, 4, 512)),
        ("  micro_batch_size: 128\n  accumulation_steps: 4\n  effective_batch_size: 512\n", (128, 4, 512)),
        ("  micro_batch_size: auto\n  effective_batch_size: 512\n  memory_target: 2GiB\n", ("auto", None, 512)),
    ],
)
def test_two_give_the_third(tmp_path: Path, text: str, expected: tuple[object, ...]) -> None:
    training = load_config(write_config(tmp_path, (BATCHING, text))).values.training
    assert (training.micro_batch_size, training.accumulation_steps, training.effective_batch_size) == expected


def test_the_same_batch_written_in_two_ways_is_the_same_configuration(tmp_path: Path) -> None:
    one = load_config(write_config(tmp_path))
    path = write_config(tmp_path, (BATCHING, "  micro_batch_size: 128\n  effective_batch_size: 512\n"))
    assert load_config(path).sha256 == one.sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  micro_batch_size: 128\n", "128 alone does not give the size of a step; add accumulation_steps or"),
        ("  micro_batch_size: auto\n", "'auto' needs training.effective_batch_size; add it, e.g. 512"),
        (
            "  micro_batch_size: auto\n  effective_batch_size: 512\n  accumulation_steps: 4\n",
            "'auto' decides how often to accumulate; leave out accumulation_steps 4",
        ),
        (
            "  micro_batch_size: 100\n  accumulation_steps: 4\n  effective_batch_size: 512\n",
            "training.micro_batch_size 100 x accumulation_steps 4 is not effective_batch_size 512; leave one of them out",
        ),
        (
            "  micro_batch_size: 60\n  effective_batch_size: 100\n",
            "training.effective_batch_size 100 cannot be cut into equal micro-batches of 60; the next smaller"
            " training.micro_batch_size that divides it is 50",
        ),
        (
            "  micro_batch_size: 1.5\n  accumulation_steps: 4\n",
            "micro_batch_size is 1.5, which cannot be used: it should",
        ),
        ("  micro_batch_size: Auto\n  accumulation_steps: 4\n", "micro_batch_size is 'Auto', which cannot be used"),
        ("  micro_batch_size: 0\n  accumulation_steps: 4\n", "micro_batch_size is 0, which cannot be used"),
        (BATCHING + "  memory_target: 0%\n", "memory_target is '0%', which cannot be used: write a share of the"),
    ],
)
def test_too_little_too_much_and_contradictions_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(write_config(tmp_path, (BATCHING, text)))


@pytest.mark.parametrize(
    ("effective", "before", "after"), [(100, 25, 10), (512, 128, 64), (97, 97, 1), (513, 513, 171)]
)
def test_half_a_micro_batch_still_divides_the_effective_batch(effective: int, before: int, after: int) -> None:
    assert largest_divisor(effective, most=before // 2) == after
