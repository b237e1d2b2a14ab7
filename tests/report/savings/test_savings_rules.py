"""Each run is accounted as its record supports it, once, and never beside figures that mean something else."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.records import ReplayAnchor
from lowtide.report.savings_model import Figures, Group, Savings, SavingsRun

from tests.support.records import make_record
from tests.support.savings import decided, nightly, savings_of, waited_until_start, write_training

ESTIMATED = {"cpu": "tdp_estimate", "gpu": "none", "ram": "constant"}


def only(savings: Savings) -> SavingsRun:
    (run,) = savings.runs
    return run


def total(savings: Savings, basis: str = "measured") -> Figures:
    (group,) = [group for group in savings.groups if group.basis == basis]
    return group.total


def reason(savings: Savings) -> str:
    assert savings.runs == ()
    (out,) = savings.left_out
    return out.reason


def test_waiting_counts_what_the_same_energy_would_have_emitted_at_submission(tmp_path: Path) -> None:
    """6.7 Wh at 110 instead of 180 g/kWh."""
    record = nightly()
    write_training(tmp_path, "nightly/a", record, decisions=waited_until_start(record))
    found = savings_of(tmp_path)
    assert only(found).avoided_by_waiting_gco2eq == pytest.approx(0.0067 * 70, rel=1e-9)
    assert (total(found).waits, total(found).wait_h, total(found).runs_with_waiting) == (1, 3.0, 1)


def test_a_wait_that_made_it_worse_is_counted_as_such(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly())
    write_training(tmp_path, "nightly/b", nightly(2, submission_gco2eq_per_kwh=80.0))
    avoided = total(savings_of(tmp_path)).avoided_by_waiting_gco2eq
    assert avoided == pytest.approx(0.0067 * (70 - 30), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": "immediate"}, "did not wait for the grid"),
        ({"submission_gco2eq_per_kwh": None}, "submission is not known"),
        ({"intensity_kinds": {"forecast": 1.0}}, "not yet settled"),
        ({"intensity_kinds": {"cached": 0.2, "measured": 0.8}}, "not yet settled"),
        ({"submission_kinds": {"forecast": 1.0}}, "at submission is forecast"),
        ({"energy_complete": False, "uncovered_s": None}, "missing"),
    ],
)
def test_waiting_that_the_record_does_not_support_is_not_counted_and_says_why(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    write_training(tmp_path, "nightly/a", nightly(**changes))
    found = savings_of(tmp_path)
    assert only(found).avoided_by_waiting_gco2eq is None
    assert said in " ".join(only(found).waiting_not_counted)
    assert total(found).avoided_by_waiting_gco2eq is None
    assert total(found).energy_kwh == pytest.approx(0.0067)


def test_what_is_valued_at_forecasts_is_shown_as_a_part_of_the_emissions(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly(intensity_kinds={"forecast": 0.25, "measured": 0.75}))
    sums = total(savings_of(tmp_path))
    assert sums.unsettled_gco2eq == pytest.approx(sums.emissions_gco2eq / 4)


def test_a_run_that_only_queued_avoided_nothing_by_waiting(tmp_path: Path) -> None:
    """It decided to run at once, then the pool was full for three hours, into cleaner ones: luck, each night at the same hours."""
    record = nightly()
    write_training(tmp_path, "nightly/a", record, decisions=[decided("run", record.submitted_at)])
    found = savings_of(tmp_path)
    assert (total(found).waits, total(found).runs_with_waiting) == (0, 0)
    assert only(found).avoided_by_waiting_gco2eq is None
    assert "time in a queue is no saving" in only(found).waiting_not_counted[0]


def test_efficiency_counts_the_energy_saved_at_the_runs_own_intensity(tmp_path: Path) -> None:
    """8.2 - 6.7 Wh for as many samples, at 110 g/kWh."""
    record, baseline = nightly(), make_record()
    write_training(tmp_path, "nightly/a", record, baseline=baseline)
    report = json.loads((tmp_path / "reports/nightly/a/report.json").read_text())
    assert report["headline"]["status"] == "claimed"
    found = savings_of(tmp_path)
    assert only(found).avoided_by_efficiency_gco2eq == pytest.approx(0.0015 * 110, rel=1e-9)
    assert total(found).runs_with_efficiency == 1


@pytest.mark.parametrize("baseline_gco2eq_per_kwh", [20.0, 600.0])
def test_the_baselines_weather_is_in_no_avoided_gram(tmp_path: Path, baseline_gco2eq_per_kwh: float) -> None:
    """A run that would have emitted 0.164 g avoided 0.569 g by its part of the change, since its baseline ran on a dirty day."""
    run = nightly(gpu_kwh=0.003, grid_gco2eq_per_kwh=20.0, submission_gco2eq_per_kwh=20.0)
    baseline = make_record(grid_gco2eq_per_kwh=baseline_gco2eq_per_kwh)
    write_training(tmp_path, "nightly/a", run, baseline=baseline)
    assert only(savings_of(tmp_path)).avoided_by_efficiency_gco2eq == pytest.approx(0.003 * 20.0, rel=1e-9)


@pytest.mark.parametrize("gpu_kwh", [0.00595, 0.00605])
def test_noise_of_the_energy_is_not_counted_because_waiting_was_measurable(tmp_path: Path, gpu_kwh: float) -> None:
    """The noise of one baseline is in every run that is held against it: it does not cancel in a year's sum."""
    write_training(tmp_path, "nightly/a", nightly(gpu_kwh=gpu_kwh), baseline=make_record())
    report = json.loads((tmp_path / "reports/nightly/a/report.json").read_text())
    assert report["headline"]["direction"] == "lower"
    found = only(savings_of(tmp_path))
    assert found.avoided_by_efficiency_gco2eq is None
    assert "no measurable change (within 3.0 %)" in found.efficiency_not_counted[0]


@pytest.mark.parametrize(
    ("run", "baseline", "said"),
    [
        ({"emission_factor_type": "direct"}, {}, "status is withheld"),
        ({"methods": ESTIMATED, "gpu_kwh": 0.0}, {"methods": ESTIMATED, "gpu_kwh": 0.0}, "estimated, not measured"),
        ({"device_name": "NVIDIA A100"}, {}, "differs from the baseline's"),
        ({"gpu_kwh": 0.006, "grid_gco2eq_per_kwh": 200.0, "policy": "immediate"}, {}, "no measurable change"),
    ],
)
def test_efficiency_that_the_report_does_not_claim_is_not_counted(
    tmp_path: Path, run: dict[str, object], baseline: dict[str, object], said: str
) -> None:
    write_training(tmp_path, "nightly/a", nightly(**run), baseline=make_record(**baseline))  # type: ignore[arg-type]
    found = only(savings_of(tmp_path))
    assert found.avoided_by_efficiency_gco2eq is None
    assert said in " ".join(found.efficiency_not_counted)


def test_a_report_of_another_account_supports_nothing(tmp_path: Path) -> None:
    """The run was settled, or trained again, since its report was written."""
    folder = write_training(tmp_path, "nightly/a", nightly(), baseline=make_record())
    record = json.loads((folder / "record.json").read_text()) | {"ledger_sha256": "e" * 64}
    (folder / "record.json").write_text(json.dumps(record))
    assert "another state of the run" in only(savings_of(tmp_path)).efficiency_not_counted[0]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"headline": 7}', "\x00"])
def test_a_damaged_report_supports_nothing(tmp_path: Path, damage: str) -> None:
    write_training(tmp_path, "nightly/a", nightly(), baseline=make_record())
    (tmp_path / "reports/nightly/a/report.json").write_text(damage)
    assert only(savings_of(tmp_path)).efficiency_not_counted == ("its report cannot be read",)


def replayed(day: int = 1) -> dict[str, object]:
    anchor = ReplayAnchor(
        real_start=datetime(2026, 4, day, 9, 0, tzinfo=UTC), virtual_start=datetime(2025, 1, 1, tzinfo=UTC), speed=120.0
    )
    virtual = datetime(2025, 1, 1, 5, 0, tzinfo=UTC)
    return {
        "replay": anchor,
        "intensity_kinds": {"replayed": 1.0},
        "submission_kinds": {"replayed": 1.0},
        "submitted_at": datetime(2025, 1, 1, tzinfo=UTC),
        "started_at": virtual,
        "ended_at": virtual + timedelta(hours=1),
        "wait_s": 18_000.0,
    }


def test_simulated_estimated_and_measured_runs_are_never_summed(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/measured", nightly(1))
    write_training(tmp_path, "nightly/simulated", nightly(2, **replayed()))
    write_training(tmp_path, "nightly/estimated", nightly(3, methods=ESTIMATED, gpu_kwh=0.0))
    write_training(tmp_path, "nightly/modelled", nightly(4, intensity_kinds={"modelled": 0.06, "measured": 0.94}))
    write_training(tmp_path, "nightly/direct", nightly(5, emission_factor_type="direct"))
    write_training(tmp_path, "nightly/marginal", nightly(6, signal_type="marginal"))
    groups = savings_of(tmp_path).groups

    def key(group: Group) -> tuple[str, str, str, int]:
        return group.basis, group.signal_type, group.emission_factor_type, group.total.runs

    assert [key(group) for group in groups] == [
        ("measured", "average", "direct", 1),
        ("measured", "average", "lifecycle", 1),
        ("measured", "marginal", "lifecycle", 1),
        ("estimated_energy", "average", "lifecycle", 1),
        ("simulated", "average", "lifecycle", 2),
    ]


def test_a_simulation_is_in_a_separate_group_at_the_time_when_it_really_ran(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly(**replayed()))
    found = only(savings_of(tmp_path))
    assert found.basis == "simulated"
    assert found.avoided_by_waiting_gco2eq == pytest.approx(0.0067 * 70, rel=1e-9)
    assert found.ended_at == datetime(2026, 4, 1, 9, 3, tzinfo=UTC)  # 6 virtual hours at 120 times the speed
    assert found.month == "2026-04"


@pytest.mark.parametrize("missing", [{"foreign_signal_share": 0.01}, {"unvalued_energy_kwh": 0.0001}])
def test_a_run_whose_emissions_are_incomplete_is_in_no_sum_but_its_energy_is_shown(
    tmp_path: Path, missing: dict[str, float]
) -> None:
    write_training(tmp_path, "nightly/a", nightly(**missing))
    found = savings_of(tmp_path)
    assert "emissions are incomplete" in reason(found)
    assert found.left_out[0].energy_kwh == pytest.approx(0.0067)
    assert found.groups == ()


def test_a_copied_folder_counts_once(tmp_path: Path) -> None:
    folder = write_training(tmp_path, "nightly/a", nightly())
    shutil.copytree(folder, tmp_path / "runs/nightly/b")
    shutil.copytree(folder, tmp_path / "runs/mine")
    found = savings_of(tmp_path)
    assert total(found).runs == 1
    assert sorted(out.reason for out in found.left_out) == ["it is a copy of runs/mine"] * 2


@pytest.mark.parametrize("copy", ["a-copy", "zz-copy"])
@pytest.mark.parametrize(
    "earlier", [{"gpu_kwh": 0.002}, {"intensity_kinds": {"forecast": 1.0}, "submission_kinds": {"forecast": 1.0}}]
)
def test_a_copy_of_an_earlier_state_counts_neither_beside_nor_instead_of_the_run(
    tmp_path: Path, copy: str, earlier: dict[str, object]
) -> None:
    """A folder that was saved before its training went on, or before it was settled: its energy counted twice."""
    write_training(tmp_path, "nightly/a", nightly())
    write_training(tmp_path, copy, nightly(**earlier))
    found = savings_of(tmp_path)
    assert (total(found).runs, total(found).energy_kwh) == (1, pytest.approx(0.0067))
    assert total(found).runs_with_waiting == 1
    assert [out.reason for out in found.left_out] == ["it is a copy of runs/nightly/a"]


def test_what_was_first_valued_is_not_counted_beside_what_was_settled(tmp_path: Path) -> None:
    for name in ("mine", "nightly/a"):
        folder = write_training(tmp_path, name, nightly(run_id=name))
        (folder / "booked").mkdir()
        shutil.copy(folder / "record.json", folder / "booked" / "record.json")
    assert [run.folder for run in savings_of(tmp_path).runs] == ["runs/mine", "runs/nightly/a"]


@pytest.mark.parametrize("name", ["finished-1", "other-12"])
def test_energy_of_a_training_that_was_replaced_counts_but_its_savings_do_not(tmp_path: Path, name: str) -> None:
    first, second = nightly(1), nightly(2, run_id="nightly/3-1")
    write_training(tmp_path, "nightly/a", second, decisions=waited_until_start(second))
    write_training(tmp_path, f"nightly/a/{name}", first)
    sums = total(savings_of(tmp_path))
    assert (sums.runs, sums.superseded_runs, sums.runs_with_waiting, sums.waits_unknown) == (2, 1, 1, 1)
    assert sums.energy_kwh == pytest.approx(2 * 0.0067)


def test_a_run_of_the_command_line_is_in_no_dag_and_one_of_airflow_has_its_dags_own_id(tmp_path: Path) -> None:
    write_training(tmp_path, "mine", nightly(1, run_id="mine"))
    write_training(tmp_path, "a_b-1a2b3c4d/x", nightly(2, run_id="a:b/x"))
    write_training(tmp_path, "cli/20260303T000000Z", nightly(3, run_id="20260303T000000Z"))
    assert [run.dag for run in savings_of(tmp_path).runs] == [None, "a:b", "cli"]
    assert savings_of(tmp_path, dag="a:b").runs == savings_of(tmp_path, dag="a_b-1a2b3c4d").runs
    assert len(savings_of(tmp_path, dag="a:b").runs) == 1


@pytest.mark.parametrize(
    ("decisions", "ledger", "said"),
    [
        (["wait", "skip"], None, "skipped, because the deadline"),
        (["wait", "fail"], None, "given up, because the deadline"),
        (["wait"], None, "has not started"),
        (["wait", "run"], "{}\n", "lowtide settle"),
        ([], "{}\n", "lowtide settle"),
        ([], None, "neither record nor ledger"),
        ([], "", "neither record nor ledger"),
    ],
)
def test_a_run_without_a_record_is_left_out_and_says_why(
    tmp_path: Path, decisions: list[str], ledger: str | None, said: str
) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    folder = write_training(tmp_path, "nightly/a", None, decisions=[decided(action, at) for action in decisions])
    if ledger is not None:
        (folder / "ledger.jsonl").write_text(ledger)
    assert said in reason(savings_of(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[]", "is not a training record but a JSON list"),
        ('{"schema_version": "9.9"}', "schema_version is '9.9'"),
        ('{"schema_version": "2.0"}', "is not a training record"),
        ('{"schema_version": "2.0", "complete": false}', "is not a training record"),
    ],
)
def test_a_damaged_record_is_left_out_and_says_why(tmp_path: Path, text: str, said: str) -> None:
    folder = write_training(tmp_path, "nightly/a", nightly())
    (folder / "record.json").write_text(text)
    assert said in reason(savings_of(tmp_path))


def test_the_last_training_decides_whether_a_run_waited_not_an_earlier_submission(tmp_path: Path) -> None:
    """With ``fresh`` the run was submitted anew, and started at once."""
    record = nightly(wait_s=0.0)
    earlier = [decided("wait", record.submitted_at - timedelta(hours=5)), decided("run", record.started_at)]
    write_training(tmp_path, "nightly/a", record, decisions=earlier)
    assert (only(savings_of(tmp_path)).waited, only(savings_of(tmp_path)).wait_s) == (False, 0.0)


def test_words_in_a_text_are_no_decision_to_wait(tmp_path: Path) -> None:
    record = nightly()
    write_training(tmp_path, "nightly/a", record, decisions=[decided("run", record.started_at)])
    assert only(savings_of(tmp_path)).waited is False


def test_a_run_whose_decisions_are_gone_is_not_said_to_have_waited_nor_not_to(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly())
    sums = total(savings_of(tmp_path))
    assert (sums.waits, sums.waits_unknown, sums.wait_h) == (0, 1, 0.0)


@pytest.mark.parametrize(("slack_s", "missed"), [(0.0, 0), (-1.0, 1)])
def test_a_deadline_is_missed_by_a_run_that_ends_after_it(tmp_path: Path, slack_s: float, missed: int) -> None:
    record = nightly()
    deadline = record.ended_at + timedelta(seconds=slack_s)
    write_training(tmp_path, "nightly/a", record, decisions=waited_until_start(record, deadline))
    write_training(tmp_path, "nightly/b", nightly(2))
    sums = total(savings_of(tmp_path))
    assert (sums.deadlines, sums.deadlines_missed) == (1, missed)


def test_pauses_count_where_the_policy_pauses_and_mishaps_do_not(tmp_path: Path) -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    gap = {"attempt": 2, "start": start, "end": start + timedelta(hours=2), "resumed_from_optimizer_step": 1}
    for name, policy in (("a", "interruptible"), ("b", "threshold")):
        write_training(
            tmp_path, f"nightly/{name}", nightly(run_id=name, policy=policy, attempts=2, interruptions=[gap])
        )
    assert total(savings_of(tmp_path)).paused_h == 2.0


def test_with_verify_a_ledger_that_changed_or_is_gone_takes_its_run_out(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_training(tmp_path, f"nightly/{name}", nightly(run_id=name))
    (tmp_path / "runs/nightly/a/ledger.jsonl").write_text("another\n")
    (tmp_path / "runs/nightly/b/ledger.jsonl").unlink()
    assert len(savings_of(tmp_path).runs) == 3
    found = savings_of(tmp_path, verify=True)
    assert [run.run_id for run in found.runs] == ["c"]
    assert [out.reason for out in found.left_out] == [
        "its ledger has changed since its record was written",
        "its ledger cannot be read (No such file or directory)",
    ]


def test_each_instance_of_a_mapped_training_counts_and_waited_as_its_run_did(tmp_path: Path) -> None:
    record = nightly()
    write_training(tmp_path, "nightly/a", None, decisions=waited_until_start(record, record.ended_at))
    for index in (0, 1):
        mapped = record.model_copy(update={"run_id": f"nightly/a[{index}]"})
        write_training(tmp_path, f"nightly/a~{index}", mapped)
    found = savings_of(tmp_path)
    assert found.left_out == ()
    assert [run.dag for run in found.runs] == ["nightly", "nightly"]
    assert (total(found).runs, total(found).waits, total(found).deadlines) == (2, 2, 2)
