"""Pages as a person would get them: the cases that a reader meets, each written from real folders."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.compare import compare_runs, write_report
from lowtide.report.model import Report
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder

from tests.support.comparisons import compare_one
from tests.support.day_runs import EVENING, evening_baseline, night_run

NOW = datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
HOSTILE = (
    "<script>document.title='taken'</script>\"'><img src=x onerror=\"document.title='taken'\"></style></title></svg>"
    " \u202egnp.exe\u202c \u05d0\u05d1\u200f &amp; {{7*7}} {% raw %} $x^2$ " + "W" * 300
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPage:
    """A report with its page."""

    report: Report
    html: str
    path: Path


def night(folder: Path) -> Report:
    """A run that waited, paused once, and emitted less."""
    return _compared(evening_baseline().write(folder / "base")[1], night_run().write(folder / "night")[1])


def worse(folder: Path) -> Report:
    """A run whose wait ended in the next evening's peak, with a hungrier training."""
    changes = {"policy": "window", "test_accuracy": 0.981}
    run = night_run(
        wait=timedelta(hours=22), submitted_at=EVENING + timedelta(hours=3), power_w=400.0, pauses=[], changes=changes
    )
    return _compared(evening_baseline().write(folder / "base")[1], run.write(folder / "worse")[1])


def alone(folder: Path) -> Report:
    """A run without a baseline."""
    return _compared(None, night_run().write(folder / "night")[1])


def withheld(folder: Path) -> Report:
    """Two runs with other emission factors, on other devices."""
    changes: dict[str, Any] = {"emission_factor_type": "lifecycle", "device_name": "NVIDIA A100"}
    return _compared(
        evening_baseline(changes=changes).write(folder / "base")[1], night_run().write(folder / "night")[1]
    )


def simulated(folder: Path) -> Report:
    """The same grid, replayed 120 times as fast."""
    anchor = {"real_start": EVENING.isoformat(), "virtual_start": EVENING.isoformat(), "speed": 120.0}
    changes: dict[str, Any] = {"replay": anchor, "intensity_kinds": {"replayed": 1.0}}
    base, run = evening_baseline(changes=changes), night_run(changes=changes)
    return _compared(base.write(folder / "base")[1], run.write(folder / "night")[1])


def from_xcom(folder: Path) -> Report:
    """A baseline of which only the XCom is left."""
    _, baseline = evening_baseline().write(folder / "base")
    return _compared(
        baseline.model_copy(update={"ledger_path": str(folder / "gone" / "ledger.jsonl")}),
        night_run().write(folder / "night")[1],
    )


def repeated(folder: Path) -> Report:
    """Three baselines and three runs."""
    baselines = [
        evening_baseline(power_w=320 + 4 * k, changes={"seed": k, "test_accuracy": 0.985 + k / 1000}).write(
            folder / f"base{k}"
        )[1]
        for k in range(3)
    ]
    runs = [
        night_run(
            power_w=290 + 5 * k, changes={"seed": k, "test_accuracy": 0.986 + k / 2000, "policy": "interruptible"}
        ).write(folder / f"night{k}")[1]
        for k in range(3)
    ]
    return compare_runs(baselines, runs, settings=ReportConfig(), now=NOW)


def hostile(folder: Path) -> Report:
    """Two runs whose every name tries to be something else."""
    names = ("run_id", "device_name", "policy", "zone", "configuration", "peak_memory_method", "comparison_key")
    changes: dict[str, Any] = dict.fromkeys(names, HOSTILE) | {"problems": (HOSTILE,), "versions": {HOSTILE: HOSTILE}}
    _, baseline = evening_baseline(changes=changes | {"run_id": f"other {HOSTILE}"}).write(folder / "base")
    return _compared(baseline, night_run(changes=changes | {"precision": "bf16"}).write(folder / "night")[1])


CASES: dict[str, Callable[[Path], Report]] = {
    case.__name__: case for case in (night, worse, alone, withheld, simulated, from_xcom, repeated, hostile)
}


def written(name: str, folder: Path) -> WrittenPage:
    """Write the page of a case."""
    report = CASES[name](folder)
    path = write_report(report, folder / "report")["report.html"]
    return WrittenPage(report=report, html=path.read_text(encoding="utf-8"), path=path)


def _compared(baseline: TrainingRecord | None, run: TrainingRecord) -> Report:
    evidence = wait_evidence(run, RunFolder(Path(run.ledger_path).parent), None, now=NOW)
    return compare_one(baseline, run, settings=ReportConfig(), now=NOW, evidence=evidence)
