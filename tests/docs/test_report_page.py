"""docs/report.md can be followed with a pocket calculator, and says of the checks what the code does."""

import math
import re

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.report.comparability import CHECKS

from tests.support.comparisons import compared, golden_reports, waiting_run
from tests.support.records import make_record

PAGE = (PROJECT_ROOT / "docs" / "report.md").read_text(encoding="utf-8")
LINES = [
    (found["left"].strip(), found["right"])
    for block in re.findall(r"```\n(.*?)```", PAGE, re.S)
    for line in block.splitlines()
    if (found := re.match(r"(?P<left>[^=]+) = (?P<right>-?[\d.]+)(\s|$)", line))
]


def test_there_are_lines_to_follow() -> None:
    assert len(LINES) > 20


@pytest.mark.parametrize(("left", "right"), LINES)
def test_every_line_comes_out_as_it_stands(left: str, right: str) -> None:
    """To the last digit that is printed."""
    value = eval(left, {"__builtins__": {}}, {"ln": math.log, "sqrt": math.sqrt})  # noqa: S307 our own page
    assert value == pytest.approx(float(right), abs=0.5001 * 10.0 ** -len(right.partition(".")[2]))


def test_the_worked_example_is_the_golden_report() -> None:
    parts = golden_reports()["lower"].attribution_gco2eq
    for part in (parts.efficiency, parts.grid_conditions, parts.waiting):
        assert f" = {part:.3f}  " in PAGE
    best = golden_reports()["waited"].waiting.perfect_foresight
    assert best is not None
    assert f"= {best.emissions_gco2eq:.3f}         g with perfect foresight" in PAGE
    assert f"= {best.captured_percent:.1f}       percent of that was" in PAGE


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.what)
def test_every_check_stands_in_the_table_with_what_it_bars(check) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{check.what}`" in line)
    bars = {"comparison": "| any claim", "efficiency": "| a claim about efficiency", "nothing": "| nothing |"}
    assert bars[check.bars] in row


def test_all_that_is_checked_is_in_the_table() -> None:
    for what in compared(make_record(), waiting_run()).fairness.checked:
        assert f"`{what}`" in PAGE
