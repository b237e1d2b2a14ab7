"""What users bring: models and data that work, and others that do all that they should not."""

import ctypes
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from lowtide.trainer.data import TrainingData
from lowtide.trainer.datasets import mnist
from torch import Tensor, nn

NOT_CALLABLE = 3


class Chatty(nn.Module):
    """Prints on every channel that a user's code has, among it what resembles an event."""

    def __init__(self) -> None:
        super().__init__()
        print('{"kind": "finished", "monotonic_s": 0, "data": {}}')
        print("to stderr", file=sys.stderr)
        os.write(1, b"straight to descriptor 1\n")
        subprocess.run([sys.executable, "-c", "print('from a subprocess')"], check=True)
        assert sys.stdin.read() == ""  # an input() of the user's must not swallow commands
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


class Slow(nn.Module):
    """Takes a while for each batch, so that a test can come in between."""

    def __init__(self, delay_s: float = 0.05) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(self.delay_s)
        outputs: Tensor = self.layers(inputs)
        return outputs


class Growing(nn.Module):
    """Needs 256 MiB more after 320 passes, which is after the 252 of a measurement of micro-batches."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0
        self.kept: Tensor | None = None
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == 320:
            self.kept = torch.ones(64 * 2**20)
        outputs: Tensor = self.layers(inputs)
        return outputs


class Unsettled(nn.Module):
    """Draws and remembers at every step (dropout, BatchNorm), and takes a little while for each micro-batch."""

    def __init__(self, delay_s: float = 0.004) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(8 * 13 * 13, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(32, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(self.delay_s)
        outputs: Tensor = self.layers(inputs)
        return outputs


def augmented_mnist(root: str, train_limit: int, test_limit: int) -> TrainingData:
    """Shifts, noise and flips from all three random generators that a user may draw from."""

    def augment(images: Tensor) -> Tensor:
        shifted = torch.roll(images, (int(numpy.random.randint(-2, 3)), random.randint(-2, 2)), dims=(-2, -1))
        return shifted + 0.1 * torch.randn_like(shifted)

    return replace(mnist(root=root, train_limit=train_limit, test_limit=test_limit), augment=augment)


def stubborn(grandchild_pid_path: str) -> nn.Module:
    """Ignores SIGTERM, starts a process and sleeps in C code while holding the interpreter's lock."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(["sleep", "300"])
    Path(grandchild_pid_path).write_text(str(grandchild.pid))
    ctypes.PyDLL(None).sleep(300)
    raise AssertionError("should have been killed in its sleep")


class Terminating(nn.Module):
    """Works with forked processes in each batch and ends them by SIGTERM, as multiprocessing's pools do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(300,))
        worker.start()
        worker.terminate()
        worker.join(10)
        assert worker.exitcode == -signal.SIGTERM
        outputs: Tensor = self.layers(inputs)
        return outputs


class Hangs(nn.Module):
    """Trains, and in its tenth batch waits for what never comes, in C code that holds the interpreter's lock."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        self.batches += self.training
        if self.batches == 10:
            ctypes.PyDLL(None).sleep(300)
        outputs: Tensor = self.layers(inputs)
        return outputs


def dies(how: str) -> nn.Module:
    """Dies without a word to the parent."""
    print("the last thing that it said")
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def three_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))


def images_out() -> nn.Module:
    return nn.Conv2d(1, 4, 3)


def wrong_width() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(100, 10))


def frozen() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)


def no_model() -> str:
    return "a model"


def raises() -> nn.Module:
    raise KeyError("weights.pt")


def _data(count: int, targets: Tensor | None = None, value: float = 0.5) -> TrainingData:
    inputs = torch.full((count, 1, 28, 28), value)
    marks = torch.arange(count) % 10 if targets is None else targets
    return TrainingData(train_inputs=inputs, train_targets=marks, test_inputs=inputs, test_targets=marks)


def flat_data() -> TrainingData:
    data = _data(300)
    return replace(data, train_inputs=data.train_inputs.flatten(1), test_inputs=data.test_inputs.flatten(1))


def flat_model() -> nn.Module:
    return nn.Linear(784, 10)


def empty_data() -> TrainingData:
    return _data(0)


def nan_data() -> TrainingData:
    """300 samples, of which one is broken: number 200 of the data."""
    data = _data(300)
    data.train_inputs[200] = float("nan")
    return data


def uneven_data() -> TrainingData:
    return _data(300, targets=torch.zeros(299, dtype=torch.int64))


def float_targets() -> TrainingData:
    return _data(300, targets=torch.rand(300))


def tuple_data() -> tuple[Tensor, Tensor]:
    return torch.zeros(3), torch.zeros(3)
