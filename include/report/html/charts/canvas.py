"""One chart: a matplotlib figure in CSS pixels, whose colours are the page's variables, turned into inline SVG."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from include.report.html.charts.inline_svg import inlined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROLES = (
    "ink",
    "muted",
    "line",
    "paper",
    "run",
    "baseline",
    "less",
    "more",
    "others",
    "waiting",
    "running",
    "paused",
    "interrupted",
    "grid",
    "submission",
)
COLOURS: Final = {role: f"#0a0b{number:02x}" for number, role in enumerate(_ROLES)}
"""What matplotlib is told; ``inlined`` puts ``var(--role)`` in its place, so that one drawing serves light and dark."""

PX_PER_INCH = 72.0
"""matplotlib's SVG has 72 units an inch: sizes in points are CSS pixels at the chart's own width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in both shapes, with what is told of it in words."""

    name: str
    title: str
    description: str
    wide: Markup
    narrow: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Width and height in CSS pixels."""

    width: int
    height: int
    narrow: bool

    def box(self, left: float, right: float, bottom: float, top: float) -> tuple[float, float, float, float]:
        """Return where an axes stands that leaves these margins, in pixels; matplotlib counts in parts of the figure."""
        across, up = 1 / self.width, 1 / self.height
        return (left * across, bottom * up, 1 - (left + right) * across, 1 - (bottom + top) * up)

    @property
    def font(self) -> float:
        """Size of the text, in CSS pixels."""
        return 12.0 if self.narrow else 13.0


def chart(
    name: str, *, title: str, description: str, wide: Shape, narrow: Shape, draw: Callable[["Figure", Shape], None]
) -> Chart:
    """Draw a chart twice. ``name`` makes the ids of its parts its own."""
    shapes = {
        shape.narrow: inlined(
            _svg(shape, draw),
            name=f"{name}-{'narrow' if shape.narrow else 'wide'}",
            title=title,
            description=description,
            colours=COLOURS,
        )
        for shape in (wide, narrow)
    }
    return Chart(name=name, title=title, description=description, wide=shapes[False], narrow=shapes[True])


def rest_axes(axes: "Axes") -> None:
    """Leave of an axes' frame only its lower edge, and let figures stand back behind the data."""
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["line"])
    axes.tick_params(colors=COLOURS["muted"], length=0, pad=5)
    axes.set_axisbelow(True)


def ruled(axes: "Axes", axis: Any = "y") -> None:
    """Draw the faint rules that a reader follows from a curve to a number."""
    axes.grid(visible=True, axis=axis, color=COLOURS["line"], linewidth=0.8)


def _svg(shape: Shape, draw: Callable[["Figure", Shape], None]) -> str:
    # half a second and 60 MB, so only where a page is written; without pyplot there is no global state
    import matplotlib  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = {
        "font.size": shape.font,
        "font.family": "DejaVu Sans",  # matplotlib brings it along: the same layout on every machine
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "lowtide",  # the same figures give the same bytes
        "text.color": COLOURS["ink"],
        "text.parse_math": False,
        "axes.labelcolor": COLOURS["muted"],
        "axes.unicode_minus": True,
        "hatch.color": COLOURS["muted"],
        "hatch.linewidth": 0.7,
        "path.simplify": True,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(shape.width / PX_PER_INCH, shape.height / PX_PER_INCH), dpi=PX_PER_INCH)
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure, shape)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return text.getvalue()
