"""One training in a separate child process, as a run makes it, with the figures of the kernel and of the child."""

import resource
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT, load_config
from lowtide.config.schema import TrainingConfig
from lowtide.trainer.child_process import TrainingChild
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
        earlier_s = _reaped_cpu_s()
        child = TrainingChild(training, log_path=Path(folder) / "child.log", project_root=PROJECT_ROOT)
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
    cpu_s = _reaped_cpu_s() - earlier_s
    return ChildRun(result=result, cpu_s=cpu_s, train_cpu_s=phases.get("evaluate", cpu_s) - phases.get("train", 0.0))


def _reaped_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
