"""Where memory runs out and smaller micro-batches would not help, a sentence says where, why and what to do."""

from typing import Any

import pytest
import torch
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import TrainingError
from lowtide.trainer import trainer as child_side
from lowtide.trainer.checkpoint import Snapshot
from lowtide.trainer.loop import accuracy
from lowtide.trainer.oom import is_out_of_memory
from lowtide.trainer.precision import Precision
from lowtide.trainer.protocol import EventKind
from lowtide.trainer.trainer import Training

from tests.trainer.conftest import MakeConfig
from tests.trainer.test_out_of_memory import Greedy, new_loop, source

AUTO: dict[str, Any] = {"micro_batch_size": "auto", "effective_batch_size": 16, "accumulation_steps": None}


@pytest.fixture(autouse=True)
def _project_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT_ROOT)  # where the child of a trial looks for a user's code


def ignore(kind: EventKind, data: dict[str, object]) -> None: ...


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"model": "tests.trainer.greedy_code:TooLarge"},
            "while the model was brought to the device.*choose a smaller one",
        ),
        (
            {"model": "tests.trainer.greedy_code:TooWide"},
            "while the model was brought to the device.*choose a smaller one",
        ),
        (
            {"data": "tests.trainer.greedy_code:too_much_data"},
            "while the data were brought.*set training.data_placement: host",
        ),
        ({"model": "tests.trainer.greedy_code:NeverTrains"}, "with a micro-batch of 1 sample.*choose a smaller model"),
        (
            {"model": "tests.trainer.greedy_code:NeverTrains"} | AUTO,
            "micro_batch_size auto: memory does not suffice for .* 1 sample",
        ),
    ],
    ids=["weights", "activations", "data", "every step", "trial"],
)
def test_one_sentence_with_advice(training_config: MakeConfig, parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence) as caught:
        Training(training_config(**parts), emit=ignore).run()
    assert "\n" not in str(caught.value)


def test_a_device_that_is_full_before_anything_is_made(
    training_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the driver says it when it finds no room for the process's context."""

    def refused(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")

    monkeypatch.setattr(child_side, "warm_up", refused)
    with pytest.raises(TrainingError, match=r"before anything was made .*end what else uses the device's memory"):
        Training(training_config(), emit=ignore)


def test_a_checkpoint_that_does_not_fit_is_not_taken_for_another_models(training_config: MakeConfig) -> None:
    loop = new_loop(Greedy(most=32), 16, [])

    class Full:
        """An optimizer's state is copied to the device by its load_state_dict."""

        def load_state_dict(self, saved: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    saved = {"train_count": 80, "peak_memory_bytes": 1, "progress": {}, "loop": loop.state.state_dict()}
    loop.state.optimizer = Full()  # type: ignore[assignment]
    snapshot = Snapshot(
        training=training_config(),
        loop=loop.state,
        progress=Counts(),  # type: ignore[arg-type]
        memory=None,  # type: ignore[arg-type]
        train_count=80,
    )
    with pytest.raises(TrainingError, match="while a checkpoint was brought to the device"):
        snapshot.load_state_dict(saved)


class Counts:
    """Counts that no test reads."""

    def load_state_dict(self, saved: object) -> None: ...


def test_an_optimizer_without_room_for_its_state_is_an_error_and_is_not_tried_again() -> None:
    """AdamW allocates its state in the first step, when the gradients are there already."""
    warnings: list[str] = []
    loop = new_loop(Greedy(most=32), 16, warnings)
    tries: list[int] = []

    def refused(*_: object) -> None:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of")

    loop.state.optimizer.register_step_pre_hook(refused)
    with pytest.raises(
        TrainingError, match=r"in the optimizer's own step 1 \(.*\); choose training.optimizer sgd"
    ) as caught:
        list(loop.epoch(source()))
    assert "\n" not in str(caught.value)
    assert (tries, warnings, loop.state.global_step) == ([1], [], 0)


class Evaluated(torch.nn.Module):
    """A linear model that refuses what is larger than ``most`` when it is evaluated."""

    def __init__(self, most: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.most, self.linear = most, torch.nn.Linear(6, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        outputs: torch.Tensor = self.linear(inputs)
        return outputs


def test_an_evaluation_that_does_not_fit_continues_with_half_its_batch() -> None:
    def measured(most: int) -> tuple[float, list[str]]:
        warnings: list[str] = []
        found = accuracy(
            Evaluated(most), source(), precision=Precision(), batch_size=32, warn=warnings.append
        )  # fmt: skip
        return found, warnings

    whole, none = measured(32)
    halved, warnings = measured(9)
    assert none == []
    assert halved == whole
    assert [warning.partition(" (")[0] for warning in warnings] == [
        "memory ran out in the evaluation with batches of 32",
        "memory ran out in the evaluation with batches of 16",
    ]
    with pytest.raises(TrainingError, match="in the evaluation with a batch of 1 sample"):
        measured(0)


def test_what_the_driver_itself_refuses_is_out_of_memory_too() -> None:
    assert is_out_of_memory(torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"))
    assert not is_out_of_memory(torch.AcceleratorError("CUDA error: device-side assert triggered"))
