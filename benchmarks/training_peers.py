"""The loop against plain PyTorch, Hugging Face accelerate and Lightning Fabric: same model, batches, optimizer and data.

    .venv/bin/python -m benchmarks.training_peers

All four take turns in one process, a few optimizer steps at a time, in an order that rotates: what disturbs the machine
disturbs all. A ratio is one contender's time over another's in the same round.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator

import torch
from lowtide.config.schema import ImportedConfig, TrainingConfig
from lowtide.trainer.datasets import mnist
from lowtide.trainer.device import device_name, select_device, synchronize
from lowtide.trainer.loaders import ResidentSource
from lowtide.trainer.loop import OptimizationLoop
from lowtide.trainer.models import mlp, small_cnn
from lowtide.trainer.optim import Schedule, make_optimizer
from lowtide.trainer.precision import make_precision
from lowtide.trainer.progress import Progress
from lowtide.trainer.state import LoopState
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.intervals import median_interval, paired_ratio

MODELS = {"small_cnn": small_cnn, "mlp": mlp}
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}
Advance = Callable[[int], None]
"""Takes so many optimizer steps."""


class Setting:
    """What is the same for all: data, batches, optimizer, precision."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device = select_device(options.device)
        self.micro, self.steps = options.micro_batch_size, options.accumulation_steps
        self.precision = options.precision
        self.source = ResidentSource(mnist(), device=self.device, seed=0)
        self.config = TrainingConfig(
            model=ImportedConfig(path="lowtide.trainer.models:" + options.model),
            data=ImportedConfig(path="lowtide.trainer.datasets:mnist"),
            epochs=1_000,
            learning_rate=1e-3,
            micro_batch_size=self.micro,
            accumulation_steps=self.steps,
        )
        self.make_model = MODELS[options.model]

    def parts(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = self.make_model().to(self.device).train()
        return model, make_optimizer(self.config, list(model.parameters()))

    def micro_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless full groups, cut as a person would: the loops of the peers differ in nothing but the framework."""
        data, effective = self.source.data, self.micro * self.steps
        while True:
            order = torch.randperm(data.train_count).to(self.device)
            for indices in order[: len(order) // effective * effective].split(self.micro):
                yield data.prepared(data.train_inputs[indices]), data.train_targets[indices]


def plain(setting: Setting) -> Advance:
    model, optimizer = setting.parts()
    batches = setting.micro_batches()
    precision = make_precision(setting.precision, setting.device)

    def advance(count: int) -> None:
        for _ in range(count):
            for _ in range(setting.steps):
                inputs, targets = next(batches)
                with precision.autocast():
                    loss = cross_entropy(model(inputs), targets) / setting.steps
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return advance


def lowtide(setting: Setting) -> Advance:
    """The loop as a training runs it: with weights, out-of-memory handling, schedule and progress."""
    model, optimizer = setting.parts()
    state = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=make_precision(setting.precision, setting.device),
        micro_batch_size=setting.micro,
        device=setting.device,
    )
    loop = OptimizationLoop(state=state, effective_batch_size=setting.micro * setting.steps)
    progress = Progress(lambda *_: None, setting.config, train_count=setting.source.train_count)

    def losses() -> Iterator[None]:
        while True:
            for summed_loss, samples in loop.epoch(setting.source):
                progress.add(summed_loss, samples)
                yield

    steps = losses()
    return lambda count: [next(steps) for _ in range(count)].clear()


def accelerate(setting: Setting) -> Advance:
    from accelerate import Accelerator  # type: ignore[import-untyped]

    accelerator = Accelerator(
        gradient_accumulation_steps=setting.steps,
        cpu=setting.device.type == "cpu",
        mixed_precision="bf16" if setting.precision == "bf16" else "no",
    )
    model, optimizer = accelerator.prepare(*setting.parts())
    batches = setting.micro_batches()

    def advance(count: int) -> None:
        for _ in range(count * setting.steps):
            with accelerator.accumulate(model):
                inputs, targets = next(batches)
                accelerator.backward(cross_entropy(model(inputs), targets))
                optimizer.step()
                optimizer.zero_grad()

    return advance


def fabric(setting: Setting) -> Advance:
    from lightning_fabric import Fabric

    launched = Fabric(
        accelerator=setting.device.type,
        devices=1,
        precision="bf16-mixed" if setting.precision == "bf16" else "32-true",
    )
    model, optimizer = launched.setup(*setting.parts())
    batches = setting.micro_batches()

    def advance(count: int) -> None:
        for _ in range(count):
            for number in range(1, setting.steps + 1):
                inputs, targets = next(batches)
                with launched.no_backward_sync(model, enabled=number < setting.steps):
                    launched.backward(cross_entropy(model(inputs), targets) / setting.steps)
            optimizer.step()
            optimizer.zero_grad()

    return advance


CONTENDERS: dict[str, Callable[[Setting], Advance]] = {
    "plain": plain,
    "lowtide": lowtide,
    "accelerate": accelerate,
    "fabric": fabric,
}


def measure(setting: Setting, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return seconds per optimizer step by clock and contender, one figure a round."""
    advances = {name: make(setting) for name, make in CONTENDERS.items()}
    for advance in advances.values():
        advance(3)  # first steps allocate, import and choose kernels
    seconds: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in advances} for clock in CLOCKS}
    names = list(advances)
    for pair in range(options.pairs):
        for name in names[pair % len(names) :] + names[: pair % len(names)]:
            synchronize(setting.device)
            began_s = {clock: read() for clock, read in CLOCKS.items()}
            advances[name](options.steps)
            synchronize(setting.device)
            for clock, read in CLOCKS.items():
                seconds[clock][name].append((read() - began_s[clock]) / options.steps)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="small_cnn")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--micro-batch-size", type=int, default=64)
    parser.add_argument("--accumulation-steps", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=20, help="rounds in which each takes its turn")
    parser.add_argument("--steps", type=int, default=5, help="optimizer steps in a turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    setting = Setting(options)
    seconds = measure(setting, options)
    print(
        f"{options.model}, {options.micro_batch_size} x {options.accumulation_steps}, {options.precision},"
        f" {device_name(setting.device)}, {torch.get_num_threads()} of {os.cpu_count()} threads, {options.pairs} rounds"
    )
    for clock, by_name in seconds.items():
        show(clock, by_name)


def show(clock: str, seconds: dict[str, list[float]]) -> None:
    print(f"\n| loop | {clock} ms per optimizer step | it / plain | lowtide / it |\n|---|---|---|---|")
    for name, own in seconds.items():
        against = paired_ratio(own, seconds["plain"]).show() if name != "plain" else ""
        ours = paired_ratio(seconds["lowtide"], own).show() if name != "lowtide" else ""
        print(f"| {name} | {median_interval([1000 * value for value in own]).show(2)} | {against} | {ours} |")
    print(f"median [interval]; the interval holds the true median with {median_interval(own).coverage:.1%}")


if __name__ == "__main__":
    main()
