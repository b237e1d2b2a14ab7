"""The panels of figures: how long jobs waited, and what that saved."""

from typing import TYPE_CHECKING, Any

import numpy as np

from include.scheduler.backtest.engine import Backtest, Line
from include.scheduler.backtest.figures import HOUR_S, pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#00796b", "#7b3294", "#0072b2", "#e69f00", "#444444")
_ORACLE = "#9a9a9a"
_MOST_ROWS = 8


def draw_waits(axes: "Axes", backtest: Backtest, line: Line) -> None:
    """Draw one histogram of waits above the other, one a slack, over all durations of the shown policy."""
    plan, policy = backtest.plan, line.combination.policy
    slacks = sorted(slack.total_seconds() for slack in plan.slacks)[:_MOST_ROWS]
    longest_h = max(slacks) / HOUR_S
    # centred on whole steps: what waits until its latest start is not to look as if it waited longer
    width = max(longest_h / 48, backtest.grid.truth.step_s / HOUR_S)
    bins = np.arange(-width / 2, longest_h + width, width)
    for row, slack_s in enumerate(slacks):
        found = [ln.outcomes.wait_s for ln in backtest.lines if _is(ln, policy, slack_s)]
        waits = np.concatenate(found) / HOUR_S
        if not len(waits):
            continue
        counts = np.histogram(waits, bins)[0]
        heights = 0.85 * counts / counts.max()
        tops = row + np.append(heights, heights[-1])
        axes.fill_between(bins, row, tops, step="post", color=_COLOURS[0], alpha=0.8, linewidth=0)
        axes.plot([waits.mean()] * 2, [row, row + 0.85], color="black", linewidth=1.2)
        axes.plot([np.percentile(waits, 95)] * 2, [row, row + 0.85], color="black", linewidth=1.2, linestyle=":")
    axes.set_yticks(np.arange(len(slacks)), [f"{slack_s / HOUR_S:g} h" for slack_s in slacks], va="bottom")
    axes.set(
        xlim=(0, longest_h * 1.01), ylim=(0, len(slacks)), xlabel="wait in h (line: mean, dotted: 95 %)", ylabel="slack"
    )
    axes.set_title(f"How long jobs waited ({policy}, all durations)", fontweight="bold")


def draw_savings(axes: "Axes", backtest: Backtest) -> None:
    """Draw the saving by slack, over all durations: each policy's, and perfect knowledge's."""
    slacks = sorted(slack.total_seconds() for slack in backtest.plan.slacks)
    names = [f"{slack_s / HOUR_S:g} h" for slack_s in slacks]
    policies = list(dict.fromkeys(backtest.plan.policies))
    for pausing in sorted({line.combination.interruptible for line in backtest.lines}):
        lines = [line for line in backtest.lines if line.combination.interruptible == pausing]
        oracle = [pooled([ln.result for ln in lines if ln.combination.slack_s == s]).oracle for s in slacks]
        label = "perfect knowledge" + (", may pause" if pausing else "")
        axes.plot(
            names,
            _numbers(oracle),
            "--" if pausing else "-",
            color=_ORACLE,
            marker="o",
            markersize=9,
            fillstyle="none",
            label=label,
        )
    for policy, colour in zip(policies, _COLOURS, strict=False):
        saving = [pooled([ln.result for ln in backtest.lines if _is(ln, policy, s)]).saving for s in slacks]
        axes.plot(names, _numbers(saving), color=colour, marker="o", markersize=4, label=policy)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="slack", ylabel="saving against starting at once, %")
    axes.legend(frameon=False, loc="best")
    axes.set_title("What that saved (mean over durations)", fontweight="bold")


def _is(line: Line, policy: str, slack_s: float) -> bool:
    return line.combination.policy == policy and line.combination.slack_s == slack_s


def _numbers(values: list[Any]) -> list[float]:
    return [np.nan if value is None else value for value in values]
