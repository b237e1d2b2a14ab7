"""What a run did, and what the grid did meanwhile, as its files tell it."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lowtide.records import TrainingRecord
from lowtide.report.html import run_data
from lowtide.report.html.run_data import Evidence, Level, activities, gather, intensity_levels, total_s

from tests.support.day_runs import DayRun, night_run, tide_gco2eq_per_kwh

HOUR_S = 3600.0


def shown(run: DayRun, path: Path) -> tuple[TrainingRecord, Evidence]:
    _, record = run.write(path)
    return figures_of(record), gather(figures_of(record))


def figures_of(record: TrainingRecord) -> TrainingRecord:
    return record


def levels_of(run: TrainingRecord, evidence: Evidence) -> list[Level]:
    return intensity_levels(evidence, run.submitted_at.timestamp(), run.ended_at.timestamp())


def test_a_run_that_waited_and_paused_is_shown_without_a_gap(tmp_path: Path) -> None:
    run, evidence = shown(night_run(), tmp_path / "run")
    spans = activities(run, evidence)
    assert [span.activity for span in spans] == ["waiting", "running", "paused", "running"]
    assert all(before.end_s == after.start_s for before, after in pairwise(spans))
    assert spans[0].start_s == run.submitted_at.timestamp()
    assert spans[-1].end_s == run.ended_at.timestamp()
    assert total_s(spans, "waiting") == 5 * HOUR_S
    assert total_s(spans, "paused") == pytest.approx(1.25 * HOUR_S)
    assert total_s(spans, "running") == pytest.approx(1.7 * HOUR_S)


def test_a_gap_without_a_decision_is_an_interruption_and_not_a_pause(tmp_path: Path) -> None:
    run, evidence = shown(night_run(decisions=False), tmp_path / "run")
    assert [span.activity for span in activities(run, evidence)] == ["waiting", "running", "interrupted", "running"]


def test_a_run_that_began_at_once_did_not_wait(tmp_path: Path) -> None:
    run, evidence = shown(DayRun(hours=0.5), tmp_path / "run")
    assert [span.activity for span in activities(run, evidence)] == ["running"]


def test_without_a_ledger_the_records_times_are_shown(tmp_path: Path) -> None:
    run, _ = shown(night_run(), tmp_path / "run")
    assert [span.activity for span in activities(run, Evidence())] == ["waiting", "running"]


def test_the_intensity_is_known_for_all_of_the_wait_and_the_run(tmp_path: Path) -> None:
    run, evidence = shown(night_run(), tmp_path / "run")
    steps = levels_of(run, evidence)
    assert steps[0].start_s <= run.submitted_at.timestamp()
    assert steps[-1].end_s >= run.ended_at.timestamp()
    assert all(before.end_s == pytest.approx(after.start_s) for before, after in pairwise(steps))
    at = run.submitted_at + timedelta(hours=2, minutes=10)
    value = next(s for s in steps if s.start_s <= at.timestamp() < s.end_s).carbon_intensity_gco2eq_per_kwh
    assert value == tide_gco2eq_per_kwh(at.replace(minute=0))


def test_what_rows_are_valued_at_comes_before_what_was_read(tmp_path: Path) -> None:
    """A settled run has another figure than the decision that started it."""
    folder, record = night_run(pauses=[]).write(tmp_path / "run")
    text = folder.decisions.read_text(encoding="utf-8")
    folder.decisions.write_text(
        text.replace('"carbon_intensity_gco2eq_per_kwh": 2', '"carbon_intensity_gco2eq_per_kwh": 9')
    )
    evidence = gather(record)
    steps = [s for s in levels_of(record, evidence) if s.start_s >= record.started_at.timestamp()]
    assert (
        max(step.carbon_intensity_gco2eq_per_kwh for step in steps if step.end_s <= record.ended_at.timestamp()) < 300
    )


def test_an_unknown_intensity_stays_empty(tmp_path: Path) -> None:
    _, record = night_run(pauses=[], decisions=False, grid_since_submission=False).write(tmp_path / "run")
    steps = levels_of(record, gather(record))
    assert steps[0].start_s == record.started_at.timestamp()


def test_weeks_of_five_minute_figures_are_averaged_over_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = DayRun(hours=6, row_s=300, pue=1.3).write(tmp_path / "run")
    evidence = gather(record)
    every = levels_of(record, evidence)
    monkeypatch.setattr(run_data, "_MOST_LEVELS", 7)
    levels = levels_of(record, evidence)
    assert 3 <= len(levels) <= 8 < len(every)
    for level in levels:
        inside = [
            (min(one.end_s, level.end_s) - max(one.start_s, level.start_s), one.carbon_intensity_gco2eq_per_kwh)
            for one in every
            if one.start_s < level.end_s and one.end_s > level.start_s
        ]
        mean = sum(seconds * value for seconds, value in inside) / sum(seconds for seconds, _ in inside)
        assert level.carbon_intensity_gco2eq_per_kwh == pytest.approx(mean)
        assert level.name == "measured"
