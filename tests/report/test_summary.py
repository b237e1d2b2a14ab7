"""What a comparison says in its task's log: at most ten lines that a person can read."""

from pathlib import Path

import pytest
from lowtide.report.text import summary_lines

from tests.support.comparisons import compared, golden_reports, waiting_run
from tests.support.records import make_record

CASES = golden_reports()
PATHS = {"report.json": Path("r/report.json"), "report.html": Path("r/report.html")}


@pytest.mark.parametrize("name", CASES)
def test_a_summary_begins_with_the_headline_and_ends_with_the_page_in_at_most_ten_lines(name: str) -> None:
    lines = summary_lines(CASES[name], PATHS)
    assert lines[0] == CASES[name].headline.text
    assert lines[-1] == "report: r/report.html"
    assert len(lines) <= 10
    assert all(line and "\n" not in line for line in lines)


def test_figures_stand_before_and_after() -> None:
    lines = summary_lines(compared(make_record(), waiting_run()), PATHS)
    assert "energy: 8.20 Wh -> 6.70 Wh (-18.3 %)" in lines
    assert "test accuracy: 98.50 % -> 98.62 % (+0.12 points)" in lines
    assert any(line.startswith("why: waiting -") for line in lines)


def test_many_reasons_are_counted_instead_of_listed() -> None:
    run = waiting_run(signal_type="marginal", measuring_scope="process_tree", foreign_signal_share=0.5)
    report = compared(make_record(emission_factor_type="direct"), run)
    lines = summary_lines(report, PATHS)
    assert len(report.headline.reasons) > 3
    assert len(lines) <= 10
    assert f"- and {len(report.headline.reasons) - 2} more reasons, which the report lists" in lines


def test_a_run_without_a_baseline_has_no_arrows_and_an_unknown_wait_is_said_to_be_unknown() -> None:
    lines = summary_lines(compared(None, waiting_run(submission_gco2eq_per_kwh=None)), PATHS)
    assert not any("->" in line for line in lines)
    assert any("the effect on emissions is unknown" in line for line in lines)


def test_a_wait_that_made_it_worse_says_more() -> None:
    lines = summary_lines(compared(None, waiting_run(submission_gco2eq_per_kwh=55.0)), PATHS)
    assert any("0.368 g (100.0 %) more than the same energy at submission" in line for line in lines)


def test_names_from_outside_stay_in_their_line() -> None:
    run = waiting_run(
        measuring_scope="machine", comparison_key=make_record().comparison_key, device_name="a\nb\x1b[31m"
    )
    report = compared(make_record(), run)
    hostile = report.model_copy(update={"headline": report.headline.model_copy(update={"reasons": ("x\ny\x1b[31m",)})})
    assert "- x y [31m" in summary_lines(hostile, PATHS)


def test_figures_that_mean_different_things_are_not_put_beside_an_arrow() -> None:
    lines = summary_lines(compared(make_record(emission_factor_type="direct"), waiting_run()), PATHS)
    assert "emissions: 0.737 g; the baseline's 1.64 g cannot be compared with it" in lines
    assert not any(line.startswith("why") for line in lines)


@pytest.mark.parametrize(
    ("kinds", "why", "waited"),
    [
        ({"replayed": 1.0}, "why, simulated: ", "simulated"),
        ({"forecast": 1.0}, "why, not claimed: ", "valued at forecasts, not yet settled"),
    ],
)
def test_what_is_not_claimed_is_not_reported_as_if_it_were(kinds: dict[str, float], why: str, waited: str) -> None:
    lines = summary_lines(compared(make_record(), waiting_run(intensity_kinds=kinds)), PATHS)
    assert any(line.startswith(why) for line in lines)
    assert any(line.startswith("from submission to start") and line.endswith(waited) for line in lines)
