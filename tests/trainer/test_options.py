"""Options make no difference to what is learned, and fall back with one line where they cannot be had."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.loop import OptimizationLoop
from lowtide.trainer.oom import batch_norm_warning
from lowtide.trainer.optim import make_optimizer, rate_factor
from lowtide.trainer.trainer import TrainingSetup
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainer.conftest import MakeConfig


def trained(config: TrainingConfig, steps: int = 3) -> tuple[OptimizationLoop, list[str], list[float]]:
    warnings: list[str] = []
    source, loop = TrainingSetup(config, micro_batch_size=32, warn=warnings.append).assemble()
    epoch = loop.epoch(source)
    return loop, warnings, [float(next(epoch)[0]) for _ in range(steps)]


@pytest.mark.parametrize("option", ["channels_last", "fused_optimizer"])
def test_an_option_changes_no_more_than_rounding(training_config: MakeConfig, option: str) -> None:
    _, warnings, with_it = trained(training_config(model="lowtide.trainer.models:small_cnn", **{option: True}))
    _, _, without = trained(training_config(model="lowtide.trainer.models:small_cnn", **{option: False}))
    assert warnings == []
    assert with_it == pytest.approx(without, rel=1e-4)


def test_channels_last_lays_out_weights_and_inputs(training_config: MakeConfig) -> None:
    config = training_config(model="lowtide.trainer.models:small_cnn", channels_last=True)
    source, loop = TrainingSetup(config, micro_batch_size=32, warn=pytest.fail).assemble()
    weight = next(loop.state.model.parameters())
    batch = next(next(iter(source.groups(size=8, epoch=0))).batches(8))
    for tensor in (weight, batch.inputs):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_of_what_is_no_image_falls_back(training_config: MakeConfig) -> None:
    config = training_config(data="user_code:flat_data", channels_last=True, model="user_code:flat_model")
    warnings: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT_ROOT / "tests" / "trainer"))
        TrainingSetup(config, micro_batch_size=32, warn=warnings.append).assemble()
    assert warnings == ["training.channels_last: inputs have 2 dimensions, images have 4; continuing without it"]


def test_a_parameter_that_cannot_be_fused_falls_back(training_config: MakeConfig) -> None:
    warnings: list[str] = []
    optimizer = make_optimizer(
        training_config(fused_optimizer=True),
        [nn.Parameter(torch.zeros(2, dtype=torch.float8_e4m3fn))],
        warnings.append,
    )
    assert not optimizer.defaults["fused"]
    assert len(warnings) == 1
    assert "adamw cannot be fused" in warnings[0]


COMPILED = """
import json, sys
import torch
torch.set_num_threads(1)
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.trainer import TrainingSetup
warnings, losses = [], []
for compile in (True, False):
    config = TrainingConfig.model_validate_json(json.dumps(json.loads(sys.argv[1]) | {"compile": compile}))
    source, loop = TrainingSetup(config, micro_batch_size=32, warn=warnings.append).assemble()
    steps = loop.epoch(source)
    losses.append([float(next(steps)[0]) for _ in range(3)])
    names = list(loop.state.state_dict()["model"])
print(json.dumps({"warnings": warnings, "losses": losses, "names": names}))
"""


def run_compiled(config: TrainingConfig, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, config.model_dump_json()],
        cwd=PROJECT_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_compile_trains_alike_or_falls_back_with_one_line(training_config: MakeConfig, tmp_path: Path) -> None:
    """Without a C++ compiler it falls back; the weights keep their names either way, so that a checkpoint fits both."""
    found = run_compiled(training_config(), CXX="no-such-compiler", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert len(found["warnings"]) == 1
    assert found["warnings"][0].startswith("training.compile failed (")
    assert found["losses"][0] == found["losses"][1]  # the failed try has left no trace
    assert found["names"][0] == "1.weight"


@pytest.mark.e2e  # the C++ compiler takes most of a minute
def test_compile_where_there_is_a_compiler(training_config: MakeConfig, tmp_path: Path) -> None:
    found = run_compiled(training_config(), TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    if found["warnings"]:
        pytest.skip(found["warnings"][0])
    assert found["losses"][0] == pytest.approx(found["losses"][1], rel=1e-4)


class Waits(TorchDispatchMode):
    """Counts the operations by which a host waits for its device: a number read out of a tensor, a shape that data decide."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._schema.name in {
            "aten::_local_scalar_dense",
            "aten::nonzero",
            "aten::equal",
            "aten::masked_select",
        }:
            self.found.append(function._schema.name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loop_never_reads_a_number_from_the_device(training_config: MakeConfig, precision: str) -> None:
    """Neither for a micro-step nor for a step, with clipping, schedule and accumulated loss."""
    config = training_config(precision=precision, clip_gradient_norm=1.0, lr_schedule="cosine")
    source, loop = TrainingSetup(config, micro_batch_size=32, warn=pytest.fail).assemble()
    steps = loop.epoch(source)
    next(steps)  # the first makes the optimizer's state
    with Waits() as waits:
        for _ in range(3):
            next(steps)
    assert waits.found == []
    with waits:
        float(torch.ones(1))
    assert waits.found == ["aten::_local_scalar_dense"]  # it would have been noticed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_no_step_waits_for_a_gpu(training_config: MakeConfig) -> None:
    config = training_config(device="cuda", precision="bf16", clip_gradient_norm=1.0)
    source, loop = TrainingSetup(config, micro_batch_size=32, warn=pytest.fail).assemble()
    steps = loop.epoch(source)
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_batch_norm_under_accumulation_is_warned_of_with_the_remedy() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(2)))
    said = batch_norm_warning(model, micro_batch_size=64, effective_batch_size=512)
    assert said is not None
    assert "2 BatchNorm layers" in said
    assert "micro-batches of 64 and not the effective batch of 512" in said
    assert "use GroupNorm or LayerNorm, or training.accumulation_steps 1" in said
    assert batch_norm_warning(model, micro_batch_size=512, effective_batch_size=512) is None
    assert batch_norm_warning(nn.Linear(2, 2), micro_batch_size=64, effective_batch_size=512) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("constant", [1, 1, 1]), ("linear", [1, 0.5, 0]), ("cosine", [1, 0.5, 0])]
)
def test_the_learning_rate_is_a_function_of_the_step(name: Any, expected: list[float]) -> None:
    found = [rate_factor(name, step=step, steps=10, warmup_steps=4) for step in (4, 7, 10)]
    assert found == pytest.approx(expected)
    rising = [rate_factor(name, step=step, steps=10, warmup_steps=4) for step in range(5)]
    assert rising == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
