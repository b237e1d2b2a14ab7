"""The chart of the terminal: one for ``plan`` and ``history``."""

from datetime import UTC, datetime, timedelta
from math import nan
from zoneinfo import ZoneInfo

from lowtide.cli.charts import chart
from lowtide.grid.series import IntensityCurve

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600.0


def lines(start: datetime, values: list[float], *, width: int = 79, mark_from_hour: int = 10**6) -> list[str]:
    edges = [start.timestamp() + i * HOUR_S for i in range(len(values) + 1)]
    end = start + timedelta(hours=len(values))
    block = (start + timedelta(hours=mark_from_hour), end)
    return chart(IntensityCurve(edges, values), (start, end), BERLIN, width=width, blocks=[block])


def test_bars_start_at_zero_a_gap_is_a_dot_and_marked_stretches_are_underlined() -> None:
    *bars, marks, axis = lines(datetime(2031, 1, 6, 23, tzinfo=UTC), [200.0, 100.0, nan, 0.0] * 6, mark_from_hour=21)
    assert [bar[:6] for bar in bars] == ["  200 ", *["      "] * 3, "  100 ", *["      "] * 2, "    0 "]
    assert bars[-1][6:18] == "██████···▁▁▁"
    assert bars[-5][6:18] == "███         "
    assert marks == " " * (6 + 63) + "━" * 9
    assert axis.startswith(" " * 6 + " " * 9 + "|03:00")


def test_a_week_is_marked_at_midnights_on_the_wall_also_when_the_clocks_change() -> None:
    """On 26 October 2031 the day has 25 hours."""
    start = datetime(2031, 10, 22, 22, tzinfo=UTC)  # midnight in Berlin
    axis = lines(start, [100.0] * 169, width=100)[-1]
    assert axis.split() == [part for day in (24, 25, 26, 27, 28, 29) for part in (f"|{day}", "Oct")]
