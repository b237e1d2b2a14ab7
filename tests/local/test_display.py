"""What the demo prints: changes as plain lines, stages as live lines, and the comparison at the end."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from local.comparison import attribution_line, print_comparison
from local.display import LiveDisplay, PlainDisplay, display_for
from local.problems import RunFailed
from local.stages import StageText
from tests.support.comparisons import golden_reports


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)


def output(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_elsewhere_than_on_a_terminal_a_line_appears_per_change() -> None:
    plain = console(terminal=False)
    with display_for(plain) as display:
        assert isinstance(display, PlainDisplay)
        for text, key in (("1 %", "a"), ("2 %", "a"), ("30 %", "b")):
            display.show("train", StageText(text, key))
        display.show("train", StageText("30 %", "b"), done=True)
    lines = output(plain).splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["train: 1 %", "train: 30 %", "train: 30 %"]


def test_brackets_in_a_text_are_shown_and_not_taken_for_markup() -> None:
    plain = console(terminal=False)
    PlainDisplay(plain).show("train", StageText("loss [red]", "x"))
    assert "loss [red]" in output(plain)


def test_on_a_terminal_every_stage_keeps_one_line_that_ends_with_a_tick() -> None:
    live = console(terminal=True)
    with display_for(live) as display:
        assert isinstance(display, LiveDisplay)
        display.show("data", StageText("fetching", "a"))
        display.show("train", StageText("epoch 1", "a"))
        display.show("data", StageText("verified", "b"), done=True)
    last = output(live).rsplit("\x1b[2K", 1)[-1]
    assert "epoch 1" in last
    assert "verified" in output(live)
    assert "✓" in output(live)


@pytest.mark.parametrize("name", ["lower", "higher", "simulated", "no_baseline", "withheld"])
def test_the_comparison_shows_headline_table_reasons_and_path(name: str, tmp_path: Path) -> None:
    report = golden_reports()[name]
    file = tmp_path / "report.json"
    file.write_text(report.model_dump_json(), encoding="utf-8")
    shown = console(terminal=False)
    print_comparison(shown, file)
    text = output(shown)
    assert report.headline.text in text
    assert all(reason in text for reason in report.headline.reasons)
    for word in ("Emissions", "Energy", "Mean carbon intensity", "Peak memory", "Test accuracy", "Duration"):
        assert word in text
    assert text.strip().endswith(f"Report: {file}")
    page = tmp_path / "report.html"
    page.touch()
    print_comparison(shown, file)
    assert output(shown).strip().endswith(f"Open in a browser: {page}")


def test_the_parts_of_the_change_are_named_with_their_signs() -> None:
    line = attribution_line(golden_reports()["lower"])
    for word in ("work", "efficiency", "grid conditions", "waiting", "total"):
        assert word in line
    assert "-" in line.partition("total")[2]


def test_a_report_that_is_missing_or_no_report_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with pytest.raises(RunFailed, match="is not there"):
        print_comparison(console(terminal=False), file)
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(RunFailed, match="is not a report of this version"):
        print_comparison(console(terminal=False), file)
