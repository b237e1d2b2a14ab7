"""The grid over time, with what the run did meanwhile: waiting, running and pausing shaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from include.report.html.charts.canvas import COLOURS, Chart, Shape, chart, rest_axes, ruled
from include.report.html.charts.scales import clock_axis
from include.report.html.timeline import Span, Step, total_s
from include.report.html.typography import time_text
from include.report.text import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = {"modelled": (0, (1, 1)), "forecast": (0, (4, 2)), "cached": (0, (4, 2))}
_STOPPED = ("paused", "interrupted")
_PX_PER_LETTER = 7.6
"""Of a label at the top of a shaded stretch: what does not fit is told by the legend alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean intensity, weighted by the run's energy, over the stretch of time that it belongs to."""

    role: str
    start_s: float
    end_s: float
    carbon_intensity_gco2eq_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridOverTime:
    """What is drawn; moments in UNIX seconds, virtual under replay. ``best``: when perfect knowledge would have run."""

    spans: tuple[Span, ...]
    steps: tuple[Step, ...]
    means: tuple[Mean, ...] = ()
    best: tuple[tuple[float, float], ...] = ()
    threshold_gco2eq_per_kwh: float | None = None

    @property
    def begin_s(self) -> float:
        """The submission."""
        return self.spans[0].start_s

    @property
    def end_s(self) -> float:
        """The end of the run, or of the best time for it if that is later."""
        return max(self.spans[-1].end_s, *(end for _, end in self.best), self.spans[0].start_s)

    @property
    def shown(self) -> list[Step]:
        """The steps between the two."""
        return [step for step in self.steps if step.end_s > self.begin_s and step.start_s < self.end_s]


def draw_intensity(grid: GridOverTime) -> Chart | None:
    """Draw the intensity from submission to the end; None where none is known."""
    if not grid.shown or grid.end_s <= grid.begin_s:
        return None
    return chart(
        "intensity",
        title="Carbon intensity of the grid over time",
        description=_words(grid),
        wide=Shape(width=1040, height=340, narrow=False),
        narrow=Shape(width=340, height=300, narrow=True),
        draw=lambda figure, shape: _draw(figure, shape, grid),
    )


def _words(grid: GridOverTime) -> str:
    values = [step.carbon_intensity_gco2eq_per_kwh for step in grid.shown]
    names = dict.fromkeys(span.activity for span in grid.spans)
    told = [f"{name} {time_text(total_s(grid.spans, name))}" for name in names]
    begin, end = (figures.moment_text(datetime.fromtimestamp(at, UTC)) for at in (grid.begin_s, grid.end_s))
    low, high = figures.intensity_text(min(values)), figures.intensity_text(max(values))
    return f"{begin} to {end}: {'; '.join(told)}. Intensity between {low} and {high}."


def _draw(figure: "Figure", shape: Shape, grid: GridOverTime) -> None:
    left, right, bottom, top = (40, 10, 44, 22) if shape.narrow else (52, 16, 46, 24)
    axes = figure.add_axes(shape.box(left, right, bottom, top))
    rest_axes(axes)
    ruled(axes)
    margin_s = 0.01 * (grid.end_s - grid.begin_s)
    begin, end = grid.begin_s - margin_s, grid.end_s + margin_s
    px_per_s = (shape.width - left - right) / (end - begin)
    for span in grid.spans:
        _shade(axes, span, px_per_s)
    _curve(axes, [_clipped(step, begin, end) for step in grid.shown])
    for mean in grid.means:
        axes.plot(
            [mean.start_s, mean.end_s],
            [mean.carbon_intensity_gco2eq_per_kwh] * 2,
            color=COLOURS[mean.role],
            linewidth=4,
            solid_capstyle="butt",
            alpha=0.85,
        )
    if grid.threshold_gco2eq_per_kwh is not None:
        axes.axhline(grid.threshold_gco2eq_per_kwh, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (2, 2)))
    for start, stop in grid.best:
        axes.plot(
            [start, stop],
            [0.02, 0.02],
            transform=axes.get_xaxis_transform(),
            color=COLOURS["ink"],
            linewidth=5,
            solid_capstyle="butt",
        )
    clock_axis(axes, begin, end, most=4 if shape.narrow else 9)
    highest = max(*(step.carbon_intensity_gco2eq_per_kwh for step in grid.shown), grid.threshold_gco2eq_per_kwh or 0.0)
    axes.set_ylim(0, 1.18 * highest or 1.0)
    axes.text(
        -left / (shape.width - left - right),
        1.02,
        "g/kWh",
        transform=axes.transAxes,
        color=COLOURS["muted"],
        va="bottom",
    )


def _shade(axes: "Axes", span: Span, px_per_s: float) -> None:
    colour, length_s = COLOURS[span.activity], span.end_s - span.start_s
    axes.axvspan(span.start_s, span.end_s, color=colour, alpha=0.26, linewidth=0)
    if span.activity in _STOPPED:
        axes.axvspan(
            span.start_s, span.end_s, facecolor="none", edgecolor=colour, hatch="\\\\\\\\", linewidth=0, alpha=0.6
        )
    for text in (f"{span.activity} {time_text(length_s)}", span.activity):
        if len(text) * _PX_PER_LETTER < length_s * px_per_s:
            axes.text(
                (span.start_s + span.end_s) / 2,
                0.965,
                text,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
            )
            return


def _clipped(step: Step, begin_s: float, end_s: float) -> Step:
    return Step(
        start_s=max(step.start_s, begin_s),
        end_s=min(step.end_s, end_s),
        carbon_intensity_gco2eq_per_kwh=step.carbon_intensity_gco2eq_per_kwh,
        kind=step.kind,
    )


def _curve(axes: "Axes", steps: Sequence[Step]) -> None:
    """Draw one line for each stretch of one kind; a stretch of which nothing is known stays empty."""
    xs: list[float] = []
    ys: list[float] = []
    for step, after in zip(steps, (*steps[1:], None), strict=True):
        xs += [step.start_s, step.end_s]
        ys += [step.carbon_intensity_gco2eq_per_kwh] * 2
        joined = after is not None and after.start_s - step.end_s < 1.0
        if joined and after is not None and after.kind == step.kind:
            continue
        if joined and after is not None:
            xs, ys = [*xs, after.start_s], [*ys, after.carbon_intensity_gco2eq_per_kwh]
        dashes = _DASHES.get(step.kind, "-")
        axes.plot(
            xs,
            ys,
            color=COLOURS["grid"],
            linewidth=2.0,
            linestyle=dashes,
            solid_capstyle="butt",
            solid_joinstyle="miter",
        )
        xs, ys = [], []
