"""One training in a separate child process, as a run makes it, with the figures of the kernel and of the child."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.mnist import default_data_folder
from lowtide.trainer.process import TrainingChild
from lowtide.trainer.protocol import EventKind, TrainingResult

CONFIGS = PROJECT_ROOT / "include" / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRun:
    """What came out, and the CPU time of the whole child and of its optimizer steps alone."""

    result: TrainingResult
    cpu_s: float
    train_cpu_s: float


def configured(name: str, settings: Mapping[str, Any]) -> TrainingConfig:
    """Return the training section of a shipped file with settings laid over it."""
    return load_config(CONFIGS / name, settings).values.training


def run_child(training: TrainingConfig) -> ChildRun:
    """Train in a child; user and system time are the kernel's."""
    with tempfile.TemporaryDirectory() as folder:
        child = TrainingChild(
            training, data_folder=default_data_folder(), log_path=Path(folder) / "child.log", project_root=PROJECT_ROOT
        )
        phases: dict[str, float] = {}
        with child:
            child.start()
            while True:
                event = child.next_event(0.2)
                if event is None:
                    continue
                if event.kind is EventKind.PHASE:
                    phases[event.data["phase"]] = _cpu_s(child.pid)
                if event.kind is EventKind.FINISHED:
                    result = TrainingResult.model_validate(event.data)
                    break
            child.end()
    usage = child.usage
    cpu_s = usage.cpu_time_s if usage else float("nan")
    return ChildRun(result=result, cpu_s=cpu_s, train_cpu_s=phases.get("evaluate", cpu_s) - phases.get("train", 0.0))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
