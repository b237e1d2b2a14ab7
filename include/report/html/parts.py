"""The page's building blocks."""

from dataclasses import dataclass

from include.report.html.charts.canvas import Chart

Facts = tuple[tuple[str, tuple[str, ...]], ...]
"""Names, each with its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The figures behind a chart; the first column names the row."""

    summary: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend; ``key`` names its look in the style sheet."""

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart with its legend and its table."""

    chart: Chart
    table: Table
    legend: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One key figure; ``lines`` say against what, and within which bounds."""

    label: str
    now: str
    lines: tuple[str, ...] = ()
