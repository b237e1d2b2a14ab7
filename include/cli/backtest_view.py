"""What ``lowtide backtest`` prints for people."""

import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from include.config import format_duration
from include.scheduler.backtest import Backtest, Plan, pooled

WIDTH = 100
_COLUMNS = (
    "policy", "duration", "slack", "jobs", "saving", "oracle", "captured", "wait", "p95", "missed", "segments",
)  # fmt: skip


def show(backtest: Backtest) -> None:
    """Print a table of all combinations, what they come to together, and the notes."""
    console = Console(width=min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns), highlight=False)
    console.print(_heading(backtest), markup=False, soft_wrap=True)
    console.print(_table([line.result for line in backtest.lines]))
    for text in (*_pooled(backtest), *_legend(backtest.plan), *backtest.notes):
        console.print(text, markup=False, soft_wrap=True)


def tell_notes(backtest: Backtest) -> None:
    """Print on standard error what the figures do not say."""
    for note in backtest.notes:
        print(f"lowtide: {note}", file=sys.stderr)


def _heading(backtest: Backtest) -> str:
    plan, truth = backtest.plan, backtest.grid.truth
    first, last = (datetime.fromtimestamp(s, UTC) for s in (truth.start_s, truth.end_s))
    when = (
        f"once a day at a random full hour (seed {plan.seed})" if plan.submit == "random" else f"daily at {plan.submit}"
    )
    seen = "perfect forecast" if plan.forecast == "perfect" else "forecast from history only"
    return (
        f"{plan.zone}, {first:%Y-%m-%d} to {last:%Y-%m-%d}, steps of {truth.step_s / 60:g} min;"
        f" jobs submitted {when}, {plan.timezone.key}; {seen}"
    )


def _table(results: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for before, result in zip([None, *results], results, strict=False):
        if before and (before["policy"], before["duration_h"]) != (result["policy"], result["duration_h"]):
            table.add_section() if before["policy"] != result["policy"] else table.add_row()
        table.add_row(*_cells(result))
    return table


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    return (
        result["policy"] + ("*" if result["interruptible"] else ""),
        f"{result['duration_h']:g} h",
        f"{result['slack_h']:g} h",
        f"{result['jobs']:,}",
        _number(result["saving_percent"], "{:.1f} %"),
        _number(result["oracle_saving_percent"], "{:.1f} %"),
        _number(result["captured_percent"], "{:.0f} %"),
        _number(result["mean_wait_h"], "{:.1f} h"),
        _number(result["p95_wait_h"], "{:.1f} h"),
        f"{result['deadline_misses']:,}",
        _number(result["mean_segments"], "{:.2f}"),
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _pooled(backtest: Backtest) -> list[str]:
    """Say what each policy captures over all its lines: the sum of savings over the sum of the oracle's savings."""
    told = []
    for policy in dict.fromkeys(backtest.plan.policies):
        results = [line.result for line in backtest.lines if line.combination.policy == policy]
        share = pooled(results).captured
        if share is not None:
            told.append(f"{policy}: {share:.1f} % of the oracle's saving, over {len(results)} lines")
    return told


def _legend(plan: Plan) -> list[str]:
    lines = [
        "saving: emissions against starting at once; oracle: the saving with perfect knowledge; captured: the",
        "policy's share of it; wait: by how much a job ends later than one that starts at once, mean and p95",
        "missed: jobs that end after their deadline; segments: pieces that a job runs in, mean (1: no pause)",
    ]
    if any(combination.interruptible for combination in plan.combinations()):
        lines.append("*: jobs may pause, the oracle's too; what resuming costs is counted")
    if plan.duration_error != 1:
        lines.append(f"jobs really take {plan.duration_error:g} times as long as their deadlines and policies expect")
    if plan.history_limit is not None and plan.forecast == "history":
        lines.append(f"the forecast knows the last {format_duration(plan.history_limit)} only")
    return lines
