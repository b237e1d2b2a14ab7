"""What a checkpoint and resuming from one cost. Usage: python benchmarks/checkpoints.py [--rounds 10] [--folder DIR]

For models of three sizes under AdamW: time and size of a save (checksum, fsync and rename included), time of resuming from it
(checksum included), what a step pays for asking whether one is due, and how much the peak memory rises by saving.

Then whole child processes on real MNIST, a fresh one and one that resumes, in turns: seconds from the start to the first step.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lowtide.config.airflow_params import CONFIGS_FOLDER
from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.checkpoint import Checkpointer, Snapshot, write_checkpoint
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.device import start_measuring
from lowtide.trainer.models import small_cnn
from lowtide.trainer.optim import Schedule
from lowtide.trainer.precision import Precision
from lowtide.trainer.progress import Progress
from lowtide.trainer.protocol import CheckpointPlan, EventKind, Requests
from lowtide.trainer.state import LoopState

ASKED = 10_000
MODELS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": small_cnn,
    "11 M parameters (ResNet-18's)": lambda: nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(11))),
    "25 M parameters (ResNet-50's)": lambda: nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(24))),
}


def ignore(kind: EventKind, data: dict[str, object]) -> None: ...


def snapshot_of(model: nn.Module, training: TrainingConfig) -> Snapshot:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()  # makes its state: twice the weights
    optimizer.zero_grad(set_to_none=True)
    loop = LoopState(
        model=model,
        optimizer=optimizer,
        schedule=Schedule(optimizer, name="constant", steps=1),
        precision=Precision(),
        micro_batch_size=1,
        device=torch.device("cpu"),
    )
    memory = start_measuring(torch.device("cpu"))
    progress = Progress(ignore, training, train_count=1)
    return Snapshot(training=training, loop=loop, progress=progress, memory=memory, train_count=1)


def ask_often(checkpointer: Checkpointer, snapshot: Snapshot) -> None:
    for _ in range(ASKED):
        checkpointer.after_step(snapshot)


def measure(name: str, folder: Path, rounds: int) -> str:
    training = TrainingConfig.model_validate(
        {
            "model": {"path": "m:m"},
            "data": {"path": "d:d"},
            "epochs": 1,
            "learning_rate": 0.001,
            "micro_batch_size": 1,
            "accumulation_steps": 1,
        }
    )
    snapshot = snapshot_of(MODELS[name](), training)
    plan = CheckpointPlan(folder=folder, run_id="benchmark", training_id="b")
    checkpointer = Checkpointer(plan, training, emit=ignore, requests=Requests())
    asked = timed(lambda: ask_often(checkpointer, snapshot)) / ASKED
    before = snapshot.memory.peak_bytes()
    saves = []
    for _ in range(rounds):
        saves.append(timed(lambda: write_checkpoint(snapshot, plan)))
    rise = snapshot.memory.peak_bytes() - before
    loads = [timed(lambda: checkpointer.restore(snapshot)) for _ in range(rounds)]
    size = max(path.stat().st_size for path in folder.glob("*.pt"))
    return (
        f"| {name} | {size / 1e6:.1f} MB | {1000 * statistics.median(saves):.0f} ms ({1000 * max(saves):.0f}) |"
        f" {1000 * statistics.median(loads):.0f} ms | {1e6 * asked:.1f} µs | {rise / 2**20:.1f} MiB |"
    )


def start_ups(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds to the first step of fresh children and of children that go on, in turns."""
    training = load_config(CONFIGS_FOLDER / "demo.yaml").values.training
    saved = CheckpointPlan(folder=folder / "saved", run_id="benchmark", training_id="b")
    to_first_step(training.model_copy(update={"checkpoint_steps": 1}), saved, folder, save=True)
    fresh, resumed = [], []
    for number in range(rounds):
        new = saved.model_copy(update={"folder": folder / f"fresh-{number}"})
        fresh.append(to_first_step(training, new, folder))
        resumed.append(to_first_step(training, saved, folder))
    return fresh, resumed


def to_first_step(training: TrainingConfig, plan: CheckpointPlan, folder: Path, *, save: bool = False) -> float:
    began_s = time.monotonic()
    with TrainingChild(
        training,
        log_path=folder / "log",
        project_root=PROJECT_ROOT,
        checkpoints=plan,
    ) as child:
        child.start()
        lasted_s = 0.0
        while True:
            event = child.next_event(60)
            if not lasted_s and event and event.kind is EventKind.PHASE and event.data["phase"] == "train":
                lasted_s = event.monotonic_s - began_s
                if not save:
                    break
            if event and event.kind is EventKind.CHECKPOINT:
                break
        os.killpg(child.pid, signal.SIGKILL)  # at once: a stop would save once more
    return lasted_s


def timed(what: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    what()
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where to write; the disk decides (default: the temporary folder)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| model, AdamW | file | save: median (slowest) | load | asking, a step | peak memory rises by |")
    print("|---|---|---|---|---|---|")
    for name in MODELS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(measure(name, Path(folder), options.rounds), flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        fresh, resumed = start_ups(Path(folder), options.rounds)
    differences = [after - before for before, after in zip(fresh, resumed, strict=True)]
    print(
        f"\nfrom start to first step (demo.yaml): {statistics.median(fresh):.2f} s fresh, {statistics.median(resumed):.2f} s"
        f" going on; difference of {options.rounds} pairs: median {statistics.median(differences):+.2f} s"
        f" ({min(differences):+.2f} to {max(differences):+.2f})"
    )


if __name__ == "__main__":
    main()
