"""The one list of figures: its keys are those of report.json, and every table shows all of it."""

import pytest
from lowtide.report.figures import FIGURES, PARTS, WAIT_FIGURES, Figure, credit_of
from lowtide.report.html.page import tiles_of
from lowtide.report.model import AttributionParts, Changes
from lowtide.report.text import render_markdown, render_table

from tests.support.comparisons import compared, compared_several, golden_reports, waiting_run
from tests.support.records import make_record


def test_changes_and_parts_are_those_of_the_report() -> None:
    assert {figure.change for figure in FIGURES if figure.change} == set(Changes.model_fields)
    assert {part.key for part in PARTS} == set(AttributionParts.model_fields) - {"total"}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)
def test_a_figure_reads_the_same_of_a_record_and_of_its_place_in_a_report(figure: Figure) -> None:
    record = waiting_run()
    report = compared(make_record(), record)
    assert figure.read(record) == figure.read(report.run) == figure.mean(report, "run")
    assert figure.mean(compared(None, record), "baseline") is None


def test_replicates_have_a_spread_of_every_figure_and_their_mean_is_shown() -> None:
    runs = [waiting_run(gpu_kwh=kwh, seed=k, ledger_sha256=f"c{k:063}") for k, kwh in enumerate((0.004, 0.005))]
    report = compared_several([make_record()], runs)
    assert report.replicates is not None
    keys = [figure.name for figure in report.replicates.figures]
    assert keys[: len(FIGURES)] == [figure.key for figure in FIGURES]
    assert set(keys[len(FIGURES) :]) <= {figure.key for figure in WAIT_FIGURES}
    energy = next(figure for figure in FIGURES if figure.key == "energy_kwh")
    assert energy.mean(report, "run") == pytest.approx(sum(map(energy.read, runs)) / 2)


@pytest.mark.parametrize("name", golden_reports())
def test_terminal_markdown_and_page_show_every_figure_by_the_same_name(name: str) -> None:
    report = golden_reports()[name]
    labels, page = [row[0] for row in render_table(report)], render_markdown(report)
    tiles = {tile.label for tile in tiles_of(report)}
    for figure in FIGURES:
        assert figure.label in labels
        assert f"| {figure.label} |" in page
        assert figure.label in tiles or figure.change is None


def test_only_waiting_and_efficiency_are_controllable() -> None:
    report = compared(make_record(), waiting_run())
    assert {part.key: credit_of(report, part.key) for part in PARTS} == {
        "work": "external",
        "grid_conditions": "external",
        "efficiency": "controllable",
        "waiting": "controllable",
    }
    assert credit_of(compared(make_record(), make_record()), "waiting") == "not claimed"
