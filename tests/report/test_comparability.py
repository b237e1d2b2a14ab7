"""Everything that two runs should have in common is looked at; what makes a comparison meaningless blocks the headline."""

import pytest
from lowtide.records import EmissionsInterval
from lowtide.report.model import Report

from tests.support.comparisons import compared, compared_several, waiting_run
from tests.support.records import make_record

KEY = "model={model}; data={data}; zone=GB; effective_batch_size=512"
METERS = {"cpu": "rapl", "gpu": "nvml", "ram": "constant"}


def key(model: str = "shop.models:net", data: str = "shop.data:digits") -> str:
    return KEY.format(model=model, data=data)


def bars_of(report: Report) -> dict[str, str]:
    return {difference.what: difference.bars for difference in report.fairness.differences}


@pytest.mark.parametrize(
    ("what", "changes", "said"),
    [
        ("zone", {"zone": "DE"}, "zone differs (baseline GB, run DE): the grids are different ones"),
        ("signal_type", {"signal_type": "marginal"}, "signal type differs (baseline average, run marginal)"),
        (
            "emission_factor_type",
            {"emission_factor_type": "direct"},
            "emission factor type differs (baseline lifecycle, run direct)",
        ),
        (
            "device",
            {"device": "cpu"},
            "device class differs (baseline cuda, run cpu): the change is that of the hardware",
        ),
        (
            "effective_batch_size",
            {"micro_batch_size": 64},
            "effective batch differs (baseline 512, run 256): another effective batch is another training",
        ),
        ("data", {"comparison_key": key(data="x:y")}, "data set differs (baseline shop.data:digits, run x:y)"),
        ("model", {"comparison_key": key(model="x:y")}, "model differs (baseline shop.models:net, run x:y)"),
        (
            "measuring_scope",
            {"measuring_scope": "process_tree"},
            "measuring scope differs (baseline machine, run process_",
        ),
        (
            "methods.gpu",
            {"methods": METERS | {"gpu": "none"}},
            "method of gpu energy differs (baseline nvml, run none): this part of the energy is counted on one side only",
        ),
        ("comparison_key", {"comparison_key": key() + "0"}, "comparison key differs"),
    ],
)
def test_what_makes_a_comparison_meaningless_withholds_it_with_the_reason(
    what: str, changes: dict[str, object], said: str
) -> None:
    report = compared(make_record(), waiting_run(**changes))
    assert bars_of(report) == {what: "comparison"}
    assert report.headline.status == "withheld"
    assert report.headline.direction is None
    assert report.headline.reasons[0].startswith(said)
    assert report.attribution_gco2eq.total is None
    assert report.controllable is None


def test_the_waiting_part_needs_no_fair_baseline() -> None:
    report = compared(make_record(), waiting_run(device="cpu"))
    assert report.headline.text.endswith(
        "Waiting 3 h 20 min made this run's emissions 38.9 % lower than the same energy at submission would have."
    )
    assert report.attribution_gco2eq.waiting == pytest.approx(-0.469)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("samples", {"samples": 170_000}),
        ("epochs", {"epochs": 2}),
        ("seed", {"seed": 7}),
        ("peak_memory_kind", {"peak_memory_kind": "rss_above_base"}),
        ("versions.codecarbon", {"versions": {"lowtide": "0.1.0", "torch": "2.13.0", "codecarbon": "2.0.0"}}),
        ("methods.ram", {"methods": METERS | {"ram": "none"}}),
    ],
)
def test_what_the_reader_should_know_is_listed_and_bars_nothing(what: str, changes: dict[str, object]) -> None:
    report = compared(make_record(), waiting_run(**changes))
    assert bars_of(report) == {what: "nothing"}
    assert report.headline.status == "claimed"


@pytest.mark.parametrize(
    ("what", "changes"), [("pue", {"pue": 1.2}), ("device_name", {"device_name": "A100"}), ("methods.cpu", None)]
)
def test_what_may_explain_the_energy_leaves_only_waiting_to_be_claimed(
    what: str, changes: dict[str, object] | None
) -> None:
    report = compared(make_record(), waiting_run(**(changes or {"methods": METERS | {"cpu": "nvml"}})))
    assert bars_of(report) == {what: "efficiency"}
    assert report.headline.status == "claimed"
    assert report.headline.text.startswith("Waiting 3 h 20 min made this run's emissions 38.9 % lower")
    assert "Nothing else is claimed: " in report.headline.text
    assert "-55" not in report.headline.text


ONE, OTHER, TWO = ("GPU-1",), ("GPU-2",), ("GPU-1", "GPU-2")


def test_another_number_of_gpus_is_other_hardware_and_no_efficiency_however_large_the_change() -> None:
    base = make_record(gpu_devices=ONE, gpu_kwh=0.1, uncertainty=bounds(0.1022, 0.1))
    report = compared(base, waiting_run(gpu_devices=TWO, uncertainty=bounds(0.0067, 0.1)))
    assert bars_of(report) == {"gpus": "efficiency", "gpu_devices": "nothing"}
    assert report.headline.text.startswith("Waiting 3 h 20 min made this run's emissions 38.9 % lower")
    assert report.headline.reasons[0].startswith(
        "number of GPUs differs (baseline 1, run 2): the change in energy is also that"
    )
    assert report.controllable is not None
    assert report.controllable.parts == ("waiting",)
    assert report.known_errors is not None
    assert not report.known_errors.same_meters


@pytest.mark.parametrize(("error", "bars"), [(0.05, "nothing"), (0.4, "efficiency")])
def test_another_gpu_of_the_same_kind_has_a_meter_of_its_own(error: float, bars: str) -> None:
    """8.2 Wh against 6.7 Wh: with 5 % each way at least 7.79 against at most 7.04 Wh, with 40 % they overlap."""
    base = make_record(gpu_devices=ONE, uncertainty=bounds(0.0082, error))
    report = compared(base, waiting_run(gpu_devices=OTHER, uncertainty=bounds(0.0067, error)))
    assert bars_of(report) == {"gpu_devices": bars}
    difference = report.fairness.differences[0]
    assert (difference.baseline, difference.run) == ("GPU-1", "GPU-2")
    assert ("efficiency" in (report.controllable.parts if report.controllable else ())) == (bars == "nothing")


def test_a_record_of_before_gpus_were_named_names_none_of_them() -> None:
    report = compared(make_record(), waiting_run(gpu_devices=ONE))
    assert bars_of(report) == {"gpus": "efficiency", "gpu_devices": "efficiency"}
    assert report.fairness.differences[0].baseline == "none named"


def test_the_same_gpus_in_another_order_and_runs_without_any_differ_in_nothing() -> None:
    assert bars_of(compared(make_record(gpu_devices=TWO), waiting_run(gpu_devices=TWO[::-1]))) == {}
    no_gpu = {"gpu_kwh": 0.0, "device": "cpu", "methods": METERS | {"gpu": "none"}}
    assert bars_of(compared(make_record(**no_gpu), waiting_run(**no_gpu))) == {}


def bounds(kwh: float, error: float) -> EmissionsInterval:
    low, high = kwh * (1 - error), kwh * (1 + error)
    return EmissionsInterval(
        energy_low_kwh=low,
        energy_high_kwh=high,
        emissions_low_gco2eq=200 * low,
        emissions_high_gco2eq=200 * high,
        basis=("by a test",),
    )


def test_another_meter_bars_nothing_where_the_change_is_larger_than_all_known_errors() -> None:
    """8.2 Wh against 2.3 Wh: with 40 % each way at least 4.92 against at most 3.22 Wh."""
    base = make_record(uncertainty=bounds(0.0082, 0.4))
    run = waiting_run(methods=METERS | {"cpu": "nvml"}, gpu_kwh=0.0001, uncertainty=bounds(0.0023, 0.4))
    report = compared(base, run)
    assert bars_of(report) == {"methods.cpu": "nothing"}
    assert report.known_errors is not None
    assert not report.known_errors.same_meters
    energy = report.known_errors.energy_per_sample_percent
    assert energy is not None
    assert energy.high == pytest.approx(100 * (0.0023 * 1.4 / (0.0082 * 0.6) - 1))
    assert energy.low == pytest.approx(100 * (0.0023 * 0.6 / (0.0082 * 1.4) - 1))
    assert "larger than all known errors" in report.fairness.differences[0].why


def test_other_hardware_is_no_efficiency_however_large_the_change() -> None:
    """Beyond all known errors, and bought."""
    base = make_record(device_name="Tesla T4", gpu_kwh=0.1, uncertainty=bounds(0.1022, 0.1))
    report = compared(base, waiting_run(uncertainty=bounds(0.0067, 0.1)))
    assert bars_of(report) == {"device_name": "efficiency"}
    assert report.headline.text.startswith("Waiting 3 h 20 min made this run's emissions 38.9 % lower")
    assert "the change in energy is also that of the hardware" in report.headline.reasons[0]


@pytest.mark.parametrize(("samples", "bars"), [(162_000, "nothing"), (161_000, "efficiency"), (360_000, "efficiency")])
def test_energy_beside_training_spread_over_other_samples_is_no_efficiency(samples: int, bars: str) -> None:
    """A tenth of the energy is start-up and evaluation: with twice the samples a twentieth, and nobody did anything."""
    report = compared(make_record(), waiting_run(samples=samples))
    assert bars_of(report) == {"samples": bars}
    assert ("Nothing else is claimed" in report.headline.text) == (bars == "efficiency")


def test_the_same_meter_errs_alike_and_a_small_change_may_be_claimed() -> None:
    base = make_record(uncertainty=bounds(0.0082, 0.4))
    report = compared(base, waiting_run(uncertainty=bounds(0.0067, 0.4)))
    assert report.known_errors is not None
    assert report.known_errors.same_meters
    assert report.known_errors.energy_per_sample_percent is not None
    assert report.known_errors.energy_per_sample_percent.high > 0
    assert report.headline.direction == "lower"


def test_equal_runs_differ_in_nothing_and_all_that_was_checked_is_named() -> None:
    fairness = compared(make_record(), make_record()).fairness
    assert fairness.differences == ()
    assert {"zone", "signal_type", "emission_factor_type", "pue", "device", "effective_batch_size"} <= set(
        fairness.checked
    )
    assert {"samples", "data", "measuring_scope", "methods.cpu", "methods.gpu", "methods.ram"} <= set(fairness.checked)
    assert len(fairness.checked) == len(set(fairness.checked)) == 23


def test_without_a_baseline_nothing_is_compared() -> None:
    assert compared(None, waiting_run()).fairness.checked == ()


def test_runs_of_one_side_must_agree_among_themselves() -> None:
    report = compared_several([make_record()], [waiting_run(), waiting_run(zone="DE", ledger_sha256="e" * 64)])
    assert bars_of(report) == {"zone": "comparison"}
    assert report.fairness.differences[0].run == "DE and GB"
