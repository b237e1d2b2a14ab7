"""The attribution as a waterfall: from the baseline's grams to the run's, one bar a cause, what is ours filled."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from include.report.html.averages import average
from include.report.html.charts.canvas import COLOURS, Chart, Shape, chart, rest_axes, ruled
from include.report.html.charts.scales import mass_axis
from include.report.html.typography import with_minus
from include.report.model import Interval, Report
from include.report.text import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["baseline", "run", "ours", "others", "not_claimed"]
_PARTS: Final[tuple[tuple[str, str, Kind], ...]] = (
    ("work", "Work", "others"),
    ("grid_conditions", "Grid conditions", "others"),
    ("efficiency", "Efficiency", "ours"),
    ("waiting", "Waiting", "ours"),
)
WHOSE: Final[dict[Kind, str]] = {
    "ours": "ours",
    "others": "nobody's merit",
    "not_claimed": "not claimed here",
    "baseline": "before",
    "run": "now",
}
_LABEL_PX = 84
_BAR = 0.62


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the waterfall, in grams; a total begins at zero. ``interval``: of its end, where it is known."""

    label: str
    kind: Kind
    start_gco2eq: float
    end_gco2eq: float
    interval: Interval | None = None

    @property
    def is_total(self) -> bool:
        """Whether the bar is an amount, and not a change."""
        return self.kind in ("baseline", "run")

    @property
    def text(self) -> str:
        """The amount, or the change with its sign."""
        change = self.end_gco2eq - self.start_gco2eq
        return with_minus(figures.grams_text(change) if self.is_total else figures.signed_grams_text(change))


def bars_of(report: Report) -> tuple[Bar, ...]:
    """Return the bars: against the baseline where the change is attributed, else against the same energy at submission."""
    run_g = report.run.emissions_gco2eq
    if report.baseline is None or report.attribution_gco2eq.total is None:
        return _against_submission(report, run_g)
    parts = report.attribution_gco2eq.model_dump()
    intervals = report.repeats.attribution_gco2eq if report.repeats is not None else {}
    before_g = average(report, "baseline", "emissions_gco2eq", lambda r: r.emissions_gco2eq) or 0.0
    bars = [Bar(label="Baseline", kind="baseline", start_gco2eq=0.0, end_gco2eq=before_g)]
    level = before_g
    for key, label, theirs in _PARTS:
        barred = theirs == "ours" and (report.ours is None or key not in report.ours.parts)
        kind: Kind = "not_claimed" if barred else theirs
        end = level + (parts[key] or 0.0)
        shifted = intervals.get(key)
        around = None if shifted is None else Interval(low=level + shifted.low, high=level + shifted.high)
        bars.append(Bar(label=label, kind=kind, start_gco2eq=level, end_gco2eq=end, interval=around))
        level = end
    return (*bars, Bar(label="This run", kind="run", start_gco2eq=0.0, end_gco2eq=level))


def draw_waterfall(report: Report) -> Chart | None:
    """Draw the attribution; None where nothing can be attributed."""
    bars = bars_of(report)
    if not bars:
        return None
    return chart(
        "waterfall",
        title="Why emissions changed",
        description=" ".join(f"{bar.label}: {bar.text}." for bar in bars),
        wide=Shape(width=640, height=36 + 44 * len(bars), narrow=False),
        narrow=Shape(width=340, height=50 + 50 * len(bars), narrow=True),
        draw=lambda figure, shape: _draw(figure, shape, bars),
    )


def _against_submission(report: Report, run_g: float) -> tuple[Bar, ...]:
    if report.run.counterfactual is None:
        return ()
    before = report.run.counterfactual.emissions_gco2eq
    kind: Kind = "ours" if report.waiting.no_wait is None else "not_claimed"
    return (
        Bar(label="At submission", kind="baseline", start_gco2eq=0.0, end_gco2eq=before),
        Bar(label="Waiting", kind=kind, start_gco2eq=before, end_gco2eq=run_g),
        Bar(label="This run", kind="run", start_gco2eq=0.0, end_gco2eq=run_g),
    )


def _draw(figure: "Figure", shape: Shape, bars: tuple[Bar, ...]) -> None:
    left = 112 if shape.narrow else 132
    bottom = 30
    axes = figure.add_axes(shape.box(left, 4, bottom, 4))
    rest_axes(axes)
    ruled(axes, "x")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks([])
    highest = (
        max(max(bar.start_gco2eq, bar.end_gco2eq, bar.interval.high if bar.interval else 0.0) for bar in bars) or 1.0
    )
    lowest = min(0.0, *(min(bar.start_gco2eq, bar.end_gco2eq) for bar in bars))
    plot_px = shape.width - left - 4
    axes.set_xlim(lowest, lowest + (highest - lowest) * plot_px / (plot_px - _LABEL_PX))
    mass_axis(axes.xaxis, highest)
    for row, bar in enumerate(bars):
        _draw_bar(axes, row, bar)
        x = -left / plot_px
        axes.text(x, row - 0.04, bar.label, transform=axes.get_yaxis_transform(), va="bottom", fontweight="bold")
        axes.text(
            x,
            row + 0.06,
            WHOSE[bar.kind],
            transform=axes.get_yaxis_transform(),
            va="top",
            fontsize=shape.font - 1.5,
            color=COLOURS["muted"],
        )
    for row, bar in enumerate(bars[:-1]):
        axes.plot([bar.end_gco2eq] * 2, [row + _BAR / 2, row + 1 - _BAR / 2], color=COLOURS["muted"], linewidth=1)


def _draw_bar(axes: "Axes", row: int, bar: Bar) -> None:
    begin, width = bar.start_gco2eq, bar.end_gco2eq - bar.start_gco2eq
    colour = COLOURS[bar.kind] if bar.is_total else COLOURS["more" if width > 0 else "less"]
    if bar.kind in ("others", "not_claimed"):
        axes.barh(
            row, width, left=begin, height=_BAR, color="none", edgecolor=COLOURS["others"], hatch="////", linewidth=1.2
        )
    else:
        axes.barh(row, width, left=begin, height=_BAR, color=colour)
    end = max(bar.start_gco2eq, bar.end_gco2eq)
    if bar.interval is not None:
        axes.plot(
            [bar.interval.low, bar.interval.high],
            [row, row],
            color=COLOURS["ink"],
            linewidth=1.6,
            solid_capstyle="butt",
        )
        end = max(end, bar.interval.high)
    axes.annotate(
        bar.text,
        (end, row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontweight="bold" if bar.is_total else "normal",
    )
