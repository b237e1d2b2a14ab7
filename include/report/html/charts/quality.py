"""What the training was worth and what it needed: test accuracy and peak memory, the baseline's beside the run's."""

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Final

from include.report.html.averages import Side, runs_of
from include.report.html.charts.canvas import COLOURS, Chart, Shape, chart, rest_axes, ruled
from include.report.model import Report, RunFigures
from include.report.text import figures
from include.units import BYTES_PER_MIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {"baseline": "Baseline", "run": "This run"}
_NAME_PX, _GAP_PX, _FOOT_PX, _HEAD_PX = 74.0, 60.0, 26.0, 28.0
_SIDES: Final[tuple[Side, ...]] = ("baseline", "run")
_Sides = Sequence[tuple[Side, Sequence[RunFigures]]]


def draw_quality(report: Report) -> Chart:
    """Draw both figures of both sides, or of the run alone; of several runs a side, each accuracy and the mean memory."""
    sides = [(side, runs) for side in _SIDES if (runs := runs_of(report, side))]
    told = (
        f"{_NAMES[who]}: accuracy {_percent(mean(map(_accuracy, runs)))}, peak memory {_memory_text(runs)}."
        for who, runs in sides
    )
    return chart(
        "quality",
        title="Peak memory and test accuracy",
        description=" ".join(told),
        wide=Shape(width=1040, height=70 + 40 * len(sides), narrow=False),
        narrow=Shape(width=340, height=130 + 80 * len(sides), narrow=True),
        draw=lambda figure, shape: _draw(figure, shape, sides),
    )


def _accuracy(run: RunFigures) -> float:
    return 100 * run.test_accuracy


def _percent(value: float) -> str:
    return f"{value:.2f} %"


def _memory_text(runs: Sequence[RunFigures]) -> str:
    return figures.memory_text(round(mean(run.peak_memory_bytes for run in runs)))


def _draw(figure: "Figure", shape: Shape, sides: _Sides) -> None:
    if shape.narrow:
        up = (shape.height - 2 * (_FOOT_PX + _HEAD_PX)) / 2 + _FOOT_PX + _HEAD_PX
        boxes = (shape.box(_NAME_PX, 8, _FOOT_PX + up, _HEAD_PX), shape.box(_NAME_PX, 8, _FOOT_PX, _HEAD_PX + up))
    else:
        half = (shape.width - _GAP_PX) / 2 + _GAP_PX
        boxes = (shape.box(_NAME_PX, half, _FOOT_PX, _HEAD_PX), shape.box(_NAME_PX + half, 8, _FOOT_PX, _HEAD_PX))
    memory, accuracy = (figure.add_axes(box) for box in boxes)
    width_px = boxes[0][2] * shape.width
    for axes, title in ((memory, "Peak memory"), (accuracy, "Test accuracy")):
        _frame(axes, title, sides, -_NAME_PX / width_px)
    _memory(memory, sides, width_px)
    _accuracies(accuracy, sides, width_px)


def _frame(axes: "Axes", title: str, sides: _Sides, x: float) -> None:
    rest_axes(axes)
    ruled(axes, "x")
    axes.set_ylim(len(sides) - 0.5, -0.5)
    axes.set_yticks([])
    axes.text(x, 1.1, title, transform=axes.transAxes, va="bottom", fontweight="bold")
    for row, (who, _) in enumerate(sides):
        axes.text(x, row, _NAMES[who], transform=axes.get_yaxis_transform(), va="center")


def _memory(axes: "Axes", sides: _Sides, width_px: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    mib = [mean(run.peak_memory_bytes for run in runs) / BYTES_PER_MIB for _, runs in sides]
    for row, ((who, runs), value) in enumerate(zip(sides, mib, strict=True)):
        axes.barh(row, value, height=0.55, color=COLOURS[who])
        _label(axes, _memory_text(runs), value, row)
    axes.set_xlim(0, max(*mib, 1.0) * width_px / (width_px - 100))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} MiB" if value else "0"))


def _accuracies(axes: "Axes", sides: _Sides, width_px: float) -> None:
    """Points, not bars: the axis shows the range that matters, and does not begin at zero."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    values = [_accuracy(run) for _, runs in sides for run in runs]
    middle, reach = (min(values) + max(values)) / 2, max(max(values) - min(values), 0.5)
    low, high = max(0.0, middle - reach), min(100.0, middle + reach)
    for row, (who, runs) in enumerate(sides):
        found = [_accuracy(run) for run in runs]
        marker = "o" if who == "run" else "D"
        axes.plot(
            found, [row] * len(found), linestyle="none", marker=marker, markersize=9, color=COLOURS[who], alpha=0.9
        )
        _label(axes, _percent(mean(found)), max(found), row)
    axes.set_xlim(low, low + (high - low) * width_px / (width_px - 80))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %" if value <= 100 else ""))


def _label(axes: "Axes", text: str, value: float, row: int) -> None:
    axes.annotate(text, (value, row), xytext=(9, 0), textcoords="offset points", va="center")
