"""Several runs a side: the figures are those of the means, and the spread decides what is measurable."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lowtide.errors import ArtifactError
from lowtide.records import TrainingRecord
from lowtide.report.model import Report
from lowtide.report.text import render_markdown, render_table

from tests.support.comparisons import compared, compared_several, waiting_run
from tests.support.records import make_record


def bases(*gpu_kwh: float) -> list[TrainingRecord]:
    return [make_record(gpu_kwh=kwh, seed=k, ledger_sha256=f"a{k:063}") for k, kwh in enumerate(gpu_kwh)]


def runs(*gpu_kwh: float, **changes: object) -> list[TrainingRecord]:
    return [waiting_run(gpu_kwh=kwh, seed=k, ledger_sha256=f"c{k:063}", **changes) for k, kwh in enumerate(gpu_kwh)]


def outcome(report: Report) -> tuple[str, str | None]:
    return report.headline.status, report.headline.direction


energies = st.lists(st.floats(0.001, 0.01), min_size=1, max_size=4)


@settings(deadline=None)
@given(energies, energies)
def test_the_parts_sum_to_the_difference_of_the_means(before: list[float], after: list[float]) -> None:
    report = compared_several(bases(*before), runs(*after))
    parts = report.attribution_gco2eq.model_dump()
    total = parts.pop("total")
    base = sum(r.emissions_gco2eq for r in bases(*before)) / len(before)
    run = sum(r.emissions_gco2eq for r in runs(*after)) / len(after)
    assert total == pytest.approx(run - base, rel=1e-12, abs=1e-12 * base)
    assert math.fsum(parts.values()) == pytest.approx(total, rel=1e-12, abs=1e-12 * base)
    assert report.changes.emissions_percent == pytest.approx(100 * (run / base - 1), rel=1e-12, abs=1e-9)


def test_one_run_a_side_is_no_repetition() -> None:
    report = compared_several(bases(0.006), runs(0.0045))
    assert report.replicates is None
    alone = compared(bases(0.006)[0], runs(0.0045)[0])
    assert report == alone


def test_each_figure_has_its_mean_and_spread_on_both_sides() -> None:
    report = compared_several(bases(0.006, 0.0062, 0.0058), runs(0.0045, 0.0047))
    assert report.replicates is not None
    figure = {f.name: f for f in report.replicates.figures}["energy_kwh"]
    assert figure.baseline is not None
    assert (figure.baseline.runs, figure.run.runs) == (3, 2)
    assert figure.baseline.mean == pytest.approx(0.0082)
    assert figure.baseline.standard_deviation == pytest.approx(0.0002)
    assert [r.seed for r in report.replicates.runs] == [0, 1]
    assert (report.run_id, report.baseline_run_id) == (runs(0.0045)[0].run_id, bases(0.006)[0].run_id)


def test_a_change_beyond_the_spread_is_claimed_with_its_interval() -> None:
    report = compared_several(bases(0.006, 0.0061, 0.0059), runs(0.0045, 0.0046, 0.0044))
    assert outcome(report) == ("claimed", "lower")
    assert report.replicates is not None
    interval = report.replicates.changes["emissions_percent"]
    assert report.changes.emissions_percent is not None
    assert interval.low < report.changes.emissions_percent < interval.high < 0
    assert "95 % interval -5" in report.headline.text
    assert "means of 3 and 3 runs" in report.headline.text


def test_a_change_of_5_percent_inside_the_spread_is_no_measurable_change() -> None:
    """Beyond the repeatability that is assumed for single runs, but the repeated runs spread further."""
    before, after = bases(0.006, 0.009, 0.0045), runs(0.0055, 0.0085, 0.004, policy="immediate")
    report = compared_several(before, after)
    assert report.controllable is not None
    assert abs(report.controllable.change_percent) > 3.0
    assert outcome(report)[1] == "no_measurable_change"
    assert "which contains zero" in report.headline.reasons[-1]


def test_a_change_of_2_percent_beyond_the_spread_is_measurable() -> None:
    """Within the repeatability that is assumed for single runs, but the repeated runs are surer."""
    before = bases(0.006, 0.00601, 0.00599, 0.006001)
    same_grid = {"grid_gco2eq_per_kwh": 200.0, "submission_gco2eq_per_kwh": 200.0, "policy": "immediate"}
    report = compared_several(before, runs(0.00584, 0.00585, 0.00583, 0.005841, **same_grid))
    assert report.controllable is not None
    assert -3.0 < report.controllable.change_percent < 0
    assert outcome(report) == ("claimed", "lower")
    single = compared(before[0], runs(0.00584, **same_grid)[0])
    assert outcome(single) == ("claimed", "no_measurable_change")


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ((0.980, 0.990, 0.989), "+0.13 points, which may be zero (95 % interval -"),
        ((0.951, 0.952, 0.953), "-3.30 points (95 %"),
    ],
)
def test_accuracy_within_the_spread_of_the_seeds_is_no_change(accuracies: tuple[float, ...], said: str) -> None:
    after = [
        run.model_copy(update={"test_accuracy": value})
        for run, value in zip(runs(0.0045, 0.0046, 0.0044), accuracies, strict=True)
    ]
    assert f"Test accuracy {said}" in compared_several(bases(0.006, 0.0061, 0.0059), after).headline.text


def test_one_run_on_a_side_leaves_the_changes_without_an_interval() -> None:
    report = compared_several(bases(0.006), runs(0.0045, 0.0046))
    assert report.replicates is not None
    assert report.replicates.changes == {}
    assert report.replicates.without_interval == "there is only one baseline, which has no spread; give at least two"
    assert report.replicates.waiting_avoided_percent is not None  # it needs no baseline
    assert "no interval of the changes: there is only one baseline" in render_markdown(report)


def test_several_runs_without_a_baseline_get_their_waiting_part() -> None:
    report = compared_several([], runs(0.0045, 0.0046))
    assert outcome(report) == ("no_baseline", None)
    assert "Waiting 3 h 20 min on average made these runs' emissions 38.9 % lower" in report.headline.text
    assert report.attribution_gco2eq.waiting == pytest.approx(-0.07 * (6.7 + 6.8) / 2)


def test_waits_are_shown_by_their_means() -> None:
    first, second = runs(0.0045, 0.0045)
    report = compared_several([], [first, second.model_copy(update={"wait_s": 0.0})])
    assert report.waiting.wait_s == 6000.0
    assert report.waiting.avoided_percent == pytest.approx(100 * 70 / 180)
    assert report.waiting.perfect_foresight is None
    assert "one by one" in (report.waiting.perfect_foresight_unknown or "")


def test_a_run_whose_submission_is_unknown_leaves_the_mean_unknown() -> None:
    known, unknown = runs(0.0045)[0], waiting_run(submission_gco2eq_per_kwh=None, ledger_sha256="9" * 64)
    assert compared_several([], [known, unknown]).waiting.avoided_gco2eq is None


def test_each_run_that_bars_a_claim_is_named_by_its_number() -> None:
    bad = runs(0.0045, 0.0046)[1].model_copy(update={"intensity_kinds": {"forecast": 1.0}})
    report = compared_several(bases(0.006, 0.0061), [runs(0.0045)[0], bad])
    assert report.headline.reasons == (
        "100.0 % of the 2nd run's energy is valued at forecast intensity, not yet settled",
    )


@pytest.mark.parametrize("side", ["baseline", "run"])
def test_a_run_given_twice_would_fake_certainty_and_is_refused(side: str) -> None:
    before, after = bases(0.006), runs(0.0045)
    pair = (before * 2, after) if side == "baseline" else (before, after * 2)
    with pytest.raises(ArtifactError, match=f"is given twice as a {side}"):
        compared_several(*pair)


def test_no_run_at_all_is_refused() -> None:
    with pytest.raises(ArtifactError, match="give at least one"):
        compared_several(bases(0.006), [])


def test_the_table_shows_means_with_their_intervals() -> None:
    rows = {row[0]: row[1:] for row in render_table(compared_several(bases(0.006, 0.0062), runs(0.0045, 0.0045)))}
    assert rows["Runs"] == ("2", "2", "")
    assert rows["Energy"] == ("8.30 Wh ± 1.27 Wh", "6.70 Wh ± 0 Wh", "-19.3 %")
    assert rows["Seed"] == ("0, 1", "0, 1", "")
    page = render_markdown(compared_several(bases(0.006, 0.0062), runs(0.0045, 0.0046)))
    assert "| Emissions | -5" in page
    assert "intervals of 95 % by Student's t" in page
