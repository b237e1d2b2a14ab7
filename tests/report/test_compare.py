"""The comparison's figures, notes and refusals."""

from datetime import timedelta

import pytest
from lowtide.errors import ArtifactError
from lowtide.records import ReplayAnchor

from tests.support.comparisons import NOW, compared, waiting_run
from tests.support.records import make_record


def test_changes_follow_from_the_records() -> None:
    changes = compared(make_record(), waiting_run(duration_s=660.0)).changes
    assert changes.emissions_percent == pytest.approx(100 * (6.7 * 110 / (8.2 * 200) - 1))
    assert changes.energy_percent == pytest.approx(100 * (6.7 / 8.2 - 1))
    assert changes.mean_intensity_percent == pytest.approx(-45.0)
    assert changes.peak_memory_percent == pytest.approx(-67.5)
    assert changes.accuracy_points == pytest.approx(0.12)
    assert changes.duration_percent == pytest.approx(10.0)


def test_the_parts_sum_to_the_records_difference() -> None:
    base, run = make_record(), waiting_run()
    parts = compared(base, run).attribution_gco2eq.model_dump()
    total = parts.pop("total")
    assert total == pytest.approx(run.emissions_gco2eq - base.emissions_gco2eq, rel=1e-12)
    assert sum(parts.values()) == pytest.approx(total, rel=1e-12)


def test_another_pue_is_efficiency_not_grid() -> None:
    report = compared(make_record(pue=1.0), make_record(pue=1.5, submission_gco2eq_per_kwh=200.0))
    parts = report.attribution_gco2eq
    assert parts.total == pytest.approx(0.0082 * 200 * 0.5)
    assert parts.efficiency == pytest.approx(parts.total)
    assert parts.grid_conditions == pytest.approx(0.0, abs=1e-12)
    assert report.changes.mean_intensity_percent == pytest.approx(0.0, abs=1e-9)
    assert [(d.what, d.baseline, d.run) for d in report.fairness.differences] == [("pue", "1", "1.5")]


def test_memory_of_another_kind_has_no_percentage() -> None:
    report = compared(make_record(), waiting_run(peak_memory_kind="rss_above_base", device="cpu"))
    assert report.changes.peak_memory_percent is None
    assert report.changes.energy_percent is not None
    assert {d.what for d in report.fairness.differences} == {"peak_memory_kind", "device"}


def test_waiting_is_this_run_against_itself_at_submission() -> None:
    waiting = compared(None, waiting_run()).waiting
    assert waiting.avoided_gco2eq == pytest.approx(0.0067 * (180 - 110))
    assert waiting.avoided_percent == pytest.approx(100 * 70 / 180)
    assert waiting.wait_s == 12_000


def test_without_a_baseline_only_waiting_is_attributed() -> None:
    report = compared(None, waiting_run())
    parts = report.attribution_gco2eq
    assert (parts.work, parts.efficiency, parts.grid_conditions, parts.total) == (None, None, None, None)
    assert parts.waiting == pytest.approx(-0.0067 * 70)
    assert set(report.changes.model_dump().values()) == {None}
    assert (report.baseline, report.baseline_run_id) == (None, None)


def test_an_unknown_submission_is_said_and_goes_to_grid_conditions() -> None:
    report = compared(make_record(), waiting_run(submission_gco2eq_per_kwh=None))
    assert report.attribution_gco2eq.waiting == 0.0
    assert report.waiting.avoided_gco2eq is None
    assert any("waiting cannot be separated" in note and "is not known" in note for note in report.notes)


def test_a_carbon_free_submission_is_said() -> None:
    report = compared(make_record(), waiting_run(submission_gco2eq_per_kwh=0.0))
    assert any("waiting cannot be separated" in note and "was zero" in note for note in report.notes)


@pytest.mark.parametrize("which", ["baseline", "run"])
def test_a_record_that_contradicts_itself_is_refused(which: str) -> None:
    wrong = make_record(emissions_gco2eq=5.0, run_id="odd")
    pair = (wrong, waiting_run()) if which == "baseline" else (make_record(), wrong)
    with pytest.raises(ArtifactError, match="run 'odd' contradicts itself"):
        compared(*pair)


def test_energy_without_samples_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no sample at all"):
        compared(None, make_record(samples=0))


def test_a_run_without_energy_is_compared_by_its_stated_intensity() -> None:
    nothing = waiting_run(cpu_kwh=0.0, gpu_kwh=0.0, ram_kwh=0.0)
    report = compared(make_record(), nothing)
    assert report.attribution_gco2eq.efficiency == pytest.approx(-1.64)
    assert report.attribution_gco2eq.waiting == 0.0


def test_an_old_baseline_is_used_and_said() -> None:
    old = make_record(submitted_at=NOW - timedelta(days=31))
    assert any("30 days old, more than 30d" in note for note in compared(old, waiting_run()).notes)
    assert not any("days old" in note for note in compared(old, waiting_run(), baseline_max_age="40d").notes)


def test_a_replayed_baselines_age_is_that_of_the_real_run() -> None:
    virtual = NOW - timedelta(days=400)
    anchor = ReplayAnchor(real_start=NOW - timedelta(hours=1), virtual_start=virtual, speed=120)
    replayed = make_record(submitted_at=virtual, replay=anchor, intensity_kinds={"replayed": 1.0})
    assert not any("days old" in note for note in compared(replayed, waiting_run()).notes)


def test_oddities_are_noted() -> None:
    base = make_record(policy="threshold", wait_s=600.0)
    notes = compared(base, waiting_run(attempts=2, warnings=("memory ran out",))).notes
    assert "the run took 2 attempts; energy and time include all of them" in notes
    assert "the run's training warned: memory ran out" in notes
    assert any(note.startswith("the baseline waited 10 min itself (policy threshold)") for note in notes)


def test_equal_runs_have_nothing_to_note() -> None:
    assert compared(make_record(), make_record(submission_gco2eq_per_kwh=200.0)).notes == ()
