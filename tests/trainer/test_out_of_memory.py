"""When memory runs out, the same batch is taken in smaller pieces, as if it had been cut so from the start."""

import random
import resource
import subprocess
import sys
import weakref

import numpy
import pytest
import torch
from lowtide.config.loader import PROJECT_ROOT
from lowtide.errors import TrainingError
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource
from lowtide.trainer.loop import OptimizationLoop
from lowtide.trainer.oom import is_out_of_memory
from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision
from lowtide.trainer.random_state import seed_everything
from lowtide.trainer.state import LoopState
from torch import Tensor, nn

CPU = torch.device("cpu")


class Greedy(nn.Module):
    """Raises what CUDA raises for batches above a size, from a step on, after it has drawn and changed its buffers."""

    class Never(nn.Module):
        """Fits nothing."""

        def forward(self, inputs: Tensor) -> Tensor:
            raise torch.OutOfMemoryError(f"CUDA out of memory with {len(inputs)}.")

    def __init__(self, most: int, from_call: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 4))
        self.most, self.from_call, self.calls = most, from_call, 0

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs + random.random() * float(numpy.random.rand()))
        self.calls += 1
        if len(inputs) > self.most and self.calls > self.from_call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return outputs


def new_loop(model: nn.Module, micro: int, warnings: list[str], precision: Precision | None = None) -> OptimizationLoop:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    state = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=precision or Precision(),
        micro_batch_size=micro,
        device=CPU,
    )
    return OptimizationLoop(state=state, effective_batch_size=32, warn=warnings.append)


def source() -> ResidentSource:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(80, 6, generator=generator), torch.randint(0, 4, (80,), generator=generator)
    data = TrainingData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)
    return ResidentSource(data, device=CPU, seed=0)


def trained(most: int, micro: int, precision: Precision | None = None) -> tuple[OptimizationLoop, list[str]]:
    seed_everything(0)
    warnings: list[str] = []
    loop = new_loop(Greedy(most), micro, warnings, precision)
    for _ in range(2):
        list(loop.epoch(source()))
    return loop, warnings


@pytest.mark.parametrize("precision", [Precision(), Precision("fp16", CPU)], ids=["fp32", "fp16"])
def test_the_result_is_that_of_the_smaller_micro_batch_from_the_start(precision: Precision) -> None:
    """Bit by bit, with dropout, BatchNorm and draws from all generators: nothing of the failed tries is left."""
    shrunk, warnings = trained(most=8, micro=32, precision=precision)
    fitting, none = trained(most=8, micro=8, precision=Precision(precision.name, CPU))
    assert shrunk.state.micro_batch_size == 8
    assert shrunk.effective_batch_size == 32
    for name, value in fitting.state.model.state_dict().items():
        assert torch.equal(shrunk.state.model.state_dict()[name], value), name
    assert none == []
    assert [w.partition(" (")[0] for w in warnings] == [
        "memory ran out at optimizer step 1 with micro-batches of 32",
        "memory ran out at optimizer step 1 with micro-batches of 16",
    ]
    assert all("effective batch stays the same" in warning for warning in warnings)
    assert [
        "; the model has 1 BatchNorm layer: under accumulation they see micro-batches of 16 and not" in w
        for w in warnings
    ] == [
        True,
        False,
    ]  # once, when the batch is split first


def test_out_of_memory_in_the_middle_of_a_group_takes_the_same_batch_again() -> None:
    """At the second of two micro-batches, when half the gradient is there already."""
    seed_everything(0)
    warnings: list[str] = []
    loop = new_loop(Greedy(most=8, from_call=3), 16, warnings)
    counts = [count for _, count in loop.epoch(source())]
    assert counts == [32, 32, 16]
    assert loop.state.micro_batch_size == 8
    assert "at optimizer step 2 with micro-batches of 16" in warnings[0]


def test_what_is_halved_is_still_a_whole_part_of_the_effective_batch() -> None:
    """Of 50 samples in 2 x 25 half would be 12 or 13, of which 50 is no multiple; the record would not add up."""
    warnings: list[str] = []
    loop = new_loop(Greedy(most=12), 25, warnings)
    loop.effective_batch_size = 50
    assert [count for _, count in loop.epoch(source())] == [50, 30]
    assert loop.state.micro_batch_size == 10
    assert len(warnings) == 1


def test_a_single_sample_that_does_not_fit_ends_with_advice() -> None:
    loop = new_loop(nn.Sequential(nn.Linear(6, 4), Greedy.Never()), 2, [])
    with pytest.raises(TrainingError, match=r"with a micro-batch of 1 sample .*choose a smaller model or inputs"):
        list(loop.epoch(source()))


def test_other_errors_are_not_taken_for_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(new_loop(nn.Linear(7, 4), 8, []).epoch(source()))


REAL_OUT_OF_MEMORY = """
import resource, torch
from torch import nn
torch.set_num_threads(1)
from lowtide.trainer.data import TrainingData
from lowtide.trainer.loaders import ResidentSource
from tests.trainer.test_out_of_memory import new_loop, CPU
inputs, targets = torch.randn(96, 64), torch.randint(0, 4, (96,))
data = TrainingData(train_inputs=inputs, train_targets=targets, test_inputs=inputs, test_targets=targets)
wide = nn.Sequential(nn.Linear(64, 1), nn.Linear(1, 200_000), nn.ReLU(), nn.AdaptiveAvgPool1d(4))
warnings = []
loop = new_loop(wide, 32, warnings)
source = ResidentSource(data, device=CPU, seed=0)
loop.state.micro_batch_size = 1
loop.optimizer_step(next(iter(source.groups(size=1, epoch=0))))  # the optimizer's state, PyTorch's lazy parts
loop.state.micro_batch_size, loop.state.epoch_samples = 32, 0
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 40 * 2**20, resource.RLIM_INFINITY))
counts = [count for _, count in loop.epoch(source)]
print(loop.state.micro_batch_size, counts, len(warnings), warnings[0])
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="needs RLIMIT_AS")
def test_a_real_allocator_that_is_refused_memory_is_survived() -> None:
    """The host's allocator under a limit of address space: the activations of 32 samples (77 MB and more) do not fit."""
    done = subprocess.run(
        [sys.executable, "-c", REAL_OUT_OF_MEMORY], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    size, _, rest = done.stdout.partition(" ")
    assert int(size) in (2, 4, 8, 16)
    assert rest.startswith("[32, 32, 32] ")
    assert "can't allocate memory" in rest


def test_a_failed_try_is_let_go_before_the_next() -> None:
    """The traceback of a caught out-of-memory error would keep the activations, and the next try would fail as well."""
    tracked: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Tracked(Greedy):
        def forward(self, inputs: Tensor) -> Tensor:
            alive.append(sum(1 for tensor in tracked if tensor() is not None))
            activation = torch.ones(1000, requires_grad=True)
            tracked.append(weakref.ref(activation))
            return super().forward(inputs) + activation.sum() * 0

    list(new_loop(Tracked(most=8), 32, []).epoch(source()))
    assert alive[:3] == [0, 0, 0]  # after the tries with 32 and with 16
