"""Draws a backtest: the intensity, the chosen blocks, how long the jobs waited, and what that saved."""

from pathlib import Path
from typing import Any

from include.errors import ArtifactError
from include.scheduler.backtest.engine import Backtest
from include.scheduler.backtest.picture.figure_panels import draw_savings, draw_waits
from include.scheduler.backtest.picture.selection import shown_line
from include.scheduler.backtest.picture.time_panels import draw_week, draw_year

_STYLE: Any = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"}
_SUFFIXES = (".png", ".svg", ".pdf")


def check_picture_path(path: Path) -> None:
    """Refuse a file that cannot be drawn, before a backtest is run for it.

    :raises ArtifactError: no kind of picture.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ArtifactError(f"{path} is no picture that can be drawn; end it with .png, .svg or .pdf")


def draw(backtest: Backtest, path: Path) -> None:
    """Draw a backtest to a file.

    :raises ArtifactError: no kind of picture, or the file cannot be written.
    """
    # half a second and 60 MB, so only where a picture is wanted; without pyplot there is no window and no global state
    import matplotlib  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    check_picture_path(path)
    line = shown_line(backtest)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12, 10.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplot_mosaic(
            [["week", "week"], ["year", "year"], ["waits", "savings"]], height_ratios=[1, 1, 1]
        )
        draw_week(axes["week"], backtest, line)
        draw_year(axes["year"], backtest, line)
        draw_waits(axes["waits"], backtest, line)
        draw_savings(axes["savings"], backtest)
        try:
            figure.savefig(path)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error
