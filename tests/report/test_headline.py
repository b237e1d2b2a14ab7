"""Each rule for claims, with the record that breaks it."""

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.html.charts import bars_of
from lowtide.report.html.page import render_html, tiles_of
from lowtide.report.model import Report
from lowtide.report.text import render_markdown, waiting_sentences
from lowtide.report.waiting import Delay, WaitEvidence

from tests.support.comparisons import NOW, compare_one, compared, waiting_run
from tests.support.records import make_record

ESTIMATED = {"cpu": "tdp_estimate", "gpu": "nvml", "ram": "constant"}


def outcome(report: Report) -> tuple[str, str | None]:
    return report.headline.status, report.headline.direction


def test_a_better_result_claims_what_waiting_and_efficiency_did_and_gives_the_total() -> None:
    report = compared(make_record(), waiting_run())
    assert outcome(report) == ("claimed", "lower")
    # 0.737 g against the 8.20 Wh x 180 g/kWh that there would have been
    assert report.headline.text.startswith(
        "Waiting and efficiency made emissions 50.1 % lower than they would have been"
    )
    assert "1.64 g before, 0.737 g now (-55.1 %)" in report.headline.text
    assert (
        "controllable: waiting -0.556 g, efficiency -0.228 g; external: grid conditions -0.119 g"
        in report.headline.text
    )


@pytest.mark.parametrize("baseline_gco2eq_per_kwh", [20.0, 200.0, 2000.0])
@pytest.mark.parametrize(
    ("grid", "lead"), [(90.0, "10.0 % lower than"), (98.5, "no measurable change to emissions (-1.5 %)")]
)
def test_the_weather_neither_magnifies_nor_shrinks_what_waiting_did(
    grid: float, lead: str, baseline_gco2eq_per_kwh: float
) -> None:
    """The wait's part in grams is weighed by the baseline's emissions, too; of its grams a cleaner week made 42 %."""
    run = waiting_run(gpu_kwh=0.006, grid_gco2eq_per_kwh=grid, submission_gco2eq_per_kwh=100.0)
    report = compared(make_record(grid_gco2eq_per_kwh=baseline_gco2eq_per_kwh), run)
    assert f"aiting and efficiency made {'emissions ' if grid < 98 else ''}{lead}" in report.headline.text
    assert report.controllable is not None
    assert report.controllable.change_percent == pytest.approx(grid - 100.0)


def test_a_smaller_job_does_not_hide_that_each_sample_cost_more() -> None:
    """Of the parts' grams nothing would have been left without ours, and a run 300 times worse was no measurable change."""
    base, run = (make_record(samples=samples, energy_train_kwh=0.0082) for samples in (180_000, 600))
    report = compared(base, run)
    assert outcome(report) == ("claimed", "higher")
    assert report.controllable is not None
    assert report.controllable.change_percent == pytest.approx(100.0 * (180_000 / 600 - 1))


def test_a_worse_result_is_said_as_plainly_as_a_better_one() -> None:
    better = compared(make_record(), make_record(gpu_kwh=0.003)).headline
    worse = compared(make_record(gpu_kwh=0.003), make_record()).headline
    assert (better.direction, worse.direction) == ("lower", "higher")
    assert better.text.startswith("Efficiency made emissions 36.6 % lower than they would have been: 1.64 g before")
    assert worse.text.startswith("Efficiency made emissions 57.7 % higher than they would have been: 1.04 g before")


def test_a_cleaner_grid_or_less_work_is_nobodys_merit() -> None:
    weather = compared(make_record(), make_record(grid_gco2eq_per_kwh=100.0))
    less_work = compared(
        make_record(energy_train_kwh=0.0082),
        make_record(samples=60_000, cpu_kwh=0.002 / 3, gpu_kwh=0.002, ram_kwh=0.0002 / 3, energy_train_kwh=0.0082 / 3),
    )
    for report in (weather, less_work):
        assert outcome(report) == ("claimed", "no_measurable_change")
        assert report.headline.text.startswith("Efficiency made no measurable change to emissions (")
        assert report.changes.emissions_percent is not None
        assert report.changes.emissions_percent < -40


def test_a_worse_run_on_a_cleaner_grid_is_called_worse() -> None:
    run = waiting_run(grid_gco2eq_per_kwh=90.0, submission_gco2eq_per_kwh=60.0, gpu_kwh=0.0069)
    report = compared(make_record(), run)
    assert report.changes.emissions_percent is not None
    assert report.changes.emissions_percent < 0
    assert outcome(report) == ("claimed", "higher")


def test_a_dirtier_grid_makes_a_run_higher_whatever_we_did() -> None:
    run = waiting_run(grid_gco2eq_per_kwh=600.0, submission_gco2eq_per_kwh=700.0)
    report = compared(make_record(), run)
    assert outcome(report) == ("claimed", "higher")
    assert "higher than the baseline's, though waiting and efficiency made emissions" in report.headline.text


def test_a_total_without_a_measurable_change_comes_before_what_we_did() -> None:
    run = waiting_run(gpu_kwh=0.006, grid_gco2eq_per_kwh=198.0, submission_gco2eq_per_kwh=240.0)
    report = compared(make_record(), run)
    assert outcome(report) == ("claimed", "no_measurable_change")
    assert report.headline.text.startswith(
        "Emissions had no measurable change against the baseline's (-1.0 %), though waiting and efficiency made emissions 17.5 %"
    )


def test_a_wait_that_may_be_claimed_does_not_hide_that_the_figures_of_the_total_are_higher() -> None:
    report = compared(make_record(methods=ESTIMATED), waiting_run(methods=ESTIMATED, gpu_kwh=0.02))
    assert outcome(report) == ("claimed", "lower")
    assert "38.9 % lower than the same energy at submission" in report.headline.text
    assert report.headline.text.endswith(
        " By the figures as they are, emissions were 48.9 % higher than the baseline's."
    )
    assert "Lower by waiting" in render_html(report)
    assert ">Lower<" in render_html(compared(make_record(), waiting_run()))


@pytest.mark.parametrize(
    ("gpu_kwh", "direction"),
    [(0.00624, "no_measurable_change"), (0.00576, "no_measurable_change"), (0.00626, "higher"), (0.00574, "lower")],
)
def test_a_change_inside_the_repeatability_is_no_measurable_change(gpu_kwh: float, direction: str) -> None:
    report = compared(make_record(), make_record(gpu_kwh=gpu_kwh), repeatability_percent=3.0)
    assert outcome(report) == ("claimed", direction)
    assert report.repeatability_percent == 3.0
    assert (
        "a change within 3 % (report.repeatability_percent), an assumed spread, is not measurable"
        in render_markdown(report)
    )
    assert ("no measurable change" in report.headline.text) == (direction == "no_measurable_change")


def test_a_run_that_only_queued_has_not_waited_for_the_grid() -> None:
    queued = waiting_run(policy="immediate", wait_s=3 * 3600.0)
    report = compared(make_record(), queued)
    assert "controllable: efficiency" in report.headline.text
    assert "external: waiting" in report.headline.text
    assert "the run did not wait for the grid, so there is no waiting to claim" in report.headline.reasons
    assert "Waiting" not in compared(None, queued).headline.text
    estimated = compared(make_record(methods=ESTIMATED), waiting_run(policy="immediate", methods=ESTIMATED))
    assert outcome(estimated) == ("withheld", None)


def test_a_run_that_was_to_begin_at_once_and_queued_has_not_waited_either() -> None:
    report = compare_one(
        make_record(), waiting_run(), settings=ReportConfig(), now=NOW, evidence=WaitEvidence(delay=Delay(waited=False))
    )
    assert report.headline.text.startswith("Efficiency made emissions 18.3 % lower")
    assert "; external: waiting -0.556 g" in report.headline.text
    assert "spent in a queue" in report.headline.reasons[0]
    assert report.controllable is not None
    assert report.controllable.parts == ("efficiency",)


@pytest.mark.parametrize(
    ("policy", "waited", "why"),
    [("immediate", None, "its policy is immediate"), ("threshold", False, "no decision made it wait")],
)
def test_the_page_names_no_grams_after_a_wait_that_there_was_not(policy: str, waited: bool | None, why: str) -> None:
    run = waiting_run(policy=policy, wait_s=3 * 3600.0)
    report = compare_one(
        make_record(), run, settings=ReportConfig(), now=NOW, evidence=WaitEvidence(delay=Delay(waited=waited))
    )
    told = " ".join(waiting_sentences(report))
    assert f"The run did not wait for the grid: {why}. It started 3 h after submission." in told
    assert "avoided per hour" not in told
    labels = [tile.label for tile in tiles_of(report)]
    assert "Less than at submission" in labels
    assert "Avoided by waiting" not in labels


def test_waiting_at_a_modelled_submission_is_not_claimed_beside_measured_energy() -> None:
    report = compared(make_record(), waiting_run(submission_kinds={"modelled": 1.0}))
    assert outcome(report) == ("claimed", "lower")
    assert report.headline.text.startswith("Efficiency made emissions")
    assert "; not claimed: waiting -0.556 g; external: grid conditions" in report.headline.text
    assert "of the intensity at submission is forecast, cached, modelled or replayed" in report.headline.reasons[0]


def test_in_a_simulation_waiting_is_controllable_for_better_or_worse_though_nothing_is_claimed() -> None:
    replayed = {"replayed": 1.0}
    baseline = make_record(intensity_kinds=replayed)
    for intensity, sign in ((100.0, "-"), (900.0, "+")):
        run = waiting_run(intensity_kinds=replayed, submission_kinds=replayed, grid_gco2eq_per_kwh=intensity)
        report = compared(baseline, run)
        assert outcome(report) == ("simulated", None)
        assert f"; controllable: waiting {sign}" in report.headline.text


def test_a_cached_reading_is_as_unsettled_as_the_forecast_that_it_may_have_been() -> None:
    report = compared(make_record(), waiting_run(intensity_kinds={"measured": 0.5, "cached": 0.5}))
    assert outcome(report) == ("withheld", None)
    assert report.headline.reasons == ("50.0 % of the run's energy is valued at cached intensity, not yet settled",)


@pytest.mark.parametrize(
    ("share", "why"),
    [(0.01, "only another signal or factor type than average, lifecycle is known"), (0.0, "no intensity is known")],
)
def test_energy_without_an_intensity_of_the_record_s_own_types_bars_the_claim(share: float, why: str) -> None:
    run = waiting_run()
    changes = {
        "foreign_signal_share": share,
        "unvalued_energy_kwh": 0.01 * run.energy_kwh.total,
        "mean_carbon_intensity_gco2eq_per_kwh": run.mean_carbon_intensity_gco2eq_per_kwh / 0.99,
    }
    report = compared(make_record(), waiting_run(**changes))
    assert outcome(report) == ("withheld", None)
    assert report.headline.reasons[0] == f"the run's emissions are incomplete: of 1.0 % of its energy {why}"


@pytest.mark.parametrize("which", ["baseline", "run"])
def test_energy_of_which_a_part_is_missing_bars_the_claim(which: str) -> None:
    missing = {"energy_complete": False, "uncovered_s": None}
    base = make_record(**(missing if which == "baseline" else {}))
    report = compared(base, waiting_run(**(missing if which == "run" else {})))
    assert outcome(report) == ("withheld", None)
    assert report.headline.reasons == (f"energy that the {which} used is missing from its figures (see its problems)",)
    assert "Waiting" not in compared(None, waiting_run(**missing)).headline.text


@pytest.mark.parametrize(("uncovered_s", "status"), [(5.0, "claimed"), (6.0, "claimed"), (6.1, "withheld")])
def test_the_last_row_of_a_killed_attempt_bars_nothing_unless_it_is_a_measurable_part(
    uncovered_s: float, status: str
) -> None:
    """One row of 5 s in a run of 600 s; a hundredth is the limit."""
    run = waiting_run(energy_complete=False, uncovered_s=uncovered_s, attempts=2)
    assert compared(make_record(), run).headline.status == status


@pytest.mark.parametrize("kind", ["modelled", "replayed"])
@pytest.mark.parametrize("which", ["baseline", "run"])
def test_modelled_or_replayed_intensity_in_either_run_is_simulated_and_claims_nothing(kind: str, which: str) -> None:
    kinds = {"measured": 0.94, kind: 0.06}
    base = make_record(intensity_kinds=kinds) if which == "baseline" else make_record()
    run = waiting_run(intensity_kinds=kinds) if which == "run" else waiting_run()
    report = compared(base, run)
    assert outcome(report) == ("simulated", None)
    assert report.headline.reasons == (f"6.0 % of the {which}'s energy is valued at {kind} intensity",)
    assert report.headline.text.startswith("Simulated, nothing is claimed. ")
    assert "1.64 g before, 0.737 g now" in report.headline.text


def test_modelled_and_replayed_shares_are_added_before_they_are_judged() -> None:
    report = compared(
        make_record(), waiting_run(intensity_kinds={"measured": 0.94, "modelled": 0.03, "replayed": 0.03})
    )
    assert report.headline.status == "simulated"


def test_five_percent_is_still_a_claim() -> None:
    kinds = {"measured": 0.95, "modelled": 0.05}
    assert compared(make_record(), waiting_run(intensity_kinds=kinds)).headline.status == "claimed"


def test_replayed_energy_is_simulated_too() -> None:
    run = waiting_run(methods={"cpu": "replayed", "gpu": "replayed", "ram": "replayed"})
    assert outcome(compared(make_record(), run)) == ("simulated", None)


def test_forecast_intensity_is_withheld_until_settled() -> None:
    report = compared(make_record(), waiting_run(intensity_kinds={"measured": 0.5, "forecast": 0.5}))
    assert outcome(report) == ("withheld", None)
    assert report.headline.reasons == ("50.0 % of the run's energy is valued at forecast intensity, not yet settled",)


def test_no_baseline_says_how_to_make_one_and_gives_the_waiting_part() -> None:
    report = compared(None, waiting_run())
    assert outcome(report) == ("no_baseline", None)
    assert "airflow dags trigger baseline_training" in report.headline.text
    assert "Waiting 3 h 20 min made this run's emissions 38.9 % lower" in report.headline.text


@pytest.mark.parametrize("kind", ["replayed", "forecast"])
def test_no_baseline_and_a_simulated_or_unsettled_run_says_nothing_about_waiting(kind: str) -> None:
    report = compared(None, waiting_run(intensity_kinds={kind: 1.0}))
    assert outcome(report) == ("no_baseline", None)
    assert "Waiting" not in report.headline.text
    assert kind in report.headline.reasons[1]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("signal_type", "marginal", "signal type differs (baseline marginal, run average)"),
        ("emission_factor_type", "direct", "emission factor type differs (baseline direct, run lifecycle)"),
        ("measuring_scope", "process_tree", "measuring scope differs (baseline process_tree, run machine)"),
    ],
)
def test_figures_that_mean_different_things_withhold_the_claim(field: str, value: str, said: str) -> None:
    report = compared(make_record(**{field: value}), waiting_run())  # type: ignore[arg-type]
    assert outcome(report) == ("withheld", None)
    assert said in report.headline.reasons[0]
    assert report.changes.emissions_percent is None
    assert report.attribution_gco2eq.total is None


def test_estimated_energy_leaves_only_the_waiting_percentage() -> None:
    report = compared(make_record(methods=ESTIMATED), waiting_run(methods=ESTIMATED))
    assert outcome(report) == ("claimed", "lower")
    assert "38.9 % lower than the same energy at submission" in report.headline.text
    assert "55.1" not in report.headline.text  # the total rests on estimated energy
    assert "estimated energy supports no claim about efficiency or the total" in report.headline.reasons


@pytest.mark.parametrize("bar", [{"methods": ESTIMATED}, {"device_name": "Tesla T4"}, {"pue": 1.3}])
def test_what_may_not_be_claimed_is_nowhere_called_controllable(bar: dict[str, object]) -> None:
    """The page counted efficiency of estimated energy as controllable, beside a headline without it."""
    base = make_record(**({"methods": ESTIMATED} if "methods" in bar else {}))  # type: ignore[arg-type]
    report = compared(base, waiting_run(**bar))
    assert report.controllable is not None
    assert report.controllable.parts == ("waiting",)
    assert report.controllable.change_percent == pytest.approx(-100 * 70 / 180)
    page = render_markdown(report)
    rows = {line.split(" | ")[0]: line.split(" | ")[2] for line in page.splitlines() if line.count(" | ") == 3}
    assert (rows["| Waiting"], rows["| Efficiency"]) == ("controllable", "not claimed")
    assert {bar.label: bar.kind for bar in bars_of(report)}["Efficiency"] == "not claimed"
    nothing = compared(base, waiting_run(**bar, policy="immediate"))
    assert nothing.controllable is None
    assert {bar.kind for bar in bars_of(nothing)}.isdisjoint({"controllable"})


def test_without_a_baseline_a_queue_is_not_drawn_as_controllable() -> None:
    kinds = [[bar.kind for bar in bars_of(compared(None, waiting_run(policy=p)))] for p in ("threshold", "immediate")]
    assert kinds == [["baseline", "controllable", "run"], ["baseline", "not claimed", "run"]]


def test_the_waiting_percentage_does_not_depend_on_the_level_of_the_energy() -> None:
    low = compared(make_record(methods=ESTIMATED), waiting_run(methods=ESTIMATED, cpu_kwh=0.001))
    high = compared(make_record(methods=ESTIMATED), waiting_run(methods=ESTIMATED, cpu_kwh=0.1))
    assert low.waiting.avoided_percent == pytest.approx(high.waiting.avoided_percent)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (waiting_run(methods=ESTIMATED, submission_gco2eq_per_kwh=None), "intensity at submission is not known"),
        (waiting_run(methods=ESTIMATED, policy="immediate"), "did not wait"),
        (
            waiting_run(methods=ESTIMATED, submission_kinds={"modelled": 1.0}),
            "is forecast, cached, modelled or replayed",
        ),
        (waiting_run(methods=ESTIMATED, submission_gco2eq_per_kwh=0.0), "at submission are zero"),
    ],
)
def test_estimated_energy_without_a_usable_wait_is_withheld(run: TrainingRecord, said: str) -> None:
    report = compared(make_record(methods=ESTIMATED), run)
    assert outcome(report) == ("withheld", None)
    assert said in report.headline.reasons[-1]


def test_waiting_that_made_it_worse_is_said_under_estimated_energy() -> None:
    run = waiting_run(methods=ESTIMATED, submission_gco2eq_per_kwh=100.0)
    report = compared(make_record(methods=ESTIMATED), run)
    assert outcome(report) == ("claimed", "higher")
    assert "10.0 % higher" in report.headline.text


def test_waiting_inside_the_repeatability_is_no_measurable_change() -> None:
    run = waiting_run(methods=ESTIMATED, submission_gco2eq_per_kwh=111.0)
    report = compared(make_record(methods=ESTIMATED), run)
    assert outcome(report) == ("claimed", "no_measurable_change")
    assert "made no measurable change" in report.headline.text


def test_a_small_share_of_constant_energy_does_not_bar_the_claim() -> None:
    assert compared(make_record(ram_kwh=0.0004), waiting_run(ram_kwh=0.0003)).headline.status == "claimed"


def test_a_baseline_of_zero_emissions_has_no_percentage_to_claim() -> None:
    report = compared(make_record(grid_gco2eq_per_kwh=0.0), waiting_run())
    assert outcome(report) == ("withheld", None)
    assert "no percentage exists" in report.headline.reasons[0]
