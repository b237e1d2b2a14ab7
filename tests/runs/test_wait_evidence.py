"""What is known of a wait is gathered from ledger, looks, submission's readings, history and trace; the rest is said."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import GridConfig, ReportConfig
from lowtide.grid.history import HistoryKey, HistoryStore
from lowtide.grid.providers.offline import open_replay
from lowtide.records import EmissionFactorType, IntensityKind, Reading, TrainingRecord
from lowtide.report.compare import write_report
from lowtide.report.model import Report
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder
from lowtide.runs.maintenance import renew_reports

from tests.support.comparisons import compare_one
from tests.support.runs import booked_rows, slot_reading, write_run

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
STARTED = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
DEADLINE = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
VALUES = [300.0 - 10 * k for k in range(16)] + [150.0 + 20 * k for k in range(8)]
"""Half-hours from 20:00 on; the cleanest hour is 03:30 to 04:30, at 150 g/kWh."""


def grid(hours: tuple[float, float] = (0, 12), kind: IntensityKind = IntensityKind.MEASURED) -> list[Reading]:
    slots = range(int(2 * hours[0]), int(2 * hours[1]))
    return [slot_reading(SUBMITTED + k * HALF_HOUR, VALUES[k], kind) for k in slots]


def look(at: datetime, reading: Reading | None, deadline: datetime | None = DEADLINE) -> dict[str, object]:
    return {
        "action": "wait",
        "reason": "above_threshold",
        "text": "too dirty",
        "decided_at": at.isoformat(),
        "deadline": deadline.isoformat() if deadline else None,
        "reading": reading.as_json() if reading else None,
    }


def finished(
    root: Path, looks: Sequence[dict[str, object]] = (), booked: list[Reading] | None = None
) -> tuple[RunFolder, TrainingRecord]:
    readings = booked or grid()
    rows = booked_rows(STARTED, readings)
    folder, record = write_run(root / "runs" / "dag" / "run", rows, submitted_at=SUBMITTED, at_submission=readings[:2])
    folder.append_decisions(list(looks))
    return folder, record


def remember(root: Path, readings: list[Reading]) -> None:
    key = HistoryKey(
        zone="GB",
        source="neso",
        connection=None,
        signal_type=readings[0].signal_type,
        emission_factor_type=readings[0].emission_factor_type,
    )
    HistoryStore(root, key).add(readings, NOW)


def report(folder: RunFolder, record: TrainingRecord, root: Path | None, now: datetime = NOW) -> Report:
    found = wait_evidence(record, folder, root, now=now)
    return compare_one(None, record, settings=ReportConfig(), now=now, evidence=found)


@pytest.mark.parametrize(
    ("actions", "waited"), [(["run"], False), (["wait", "run"], True), (["run", "pause", "run"], True), ([], None)]
)
def test_a_queue_is_distinguished_from_a_wait_by_the_decisions(
    tmp_path: Path, actions: list[str], waited: bool | None
) -> None:
    times = [*[SUBMITTED, SUBMITTED + HALF_HOUR][: len(actions) - 1], STARTED]
    looks = [look(at, None) | {"action": action} for at, action in zip(times, actions, strict=False)]
    folder, record = finished(tmp_path, looks)
    assert wait_evidence(record, folder, tmp_path, now=NOW).delay.waited is waited
    assert ("Waiting 5 h made" in report(folder, record, tmp_path).headline.text) == (waited is not False)


def test_the_stored_history_knows_what_came_after_the_run(tmp_path: Path) -> None:
    folder, record = finished(tmp_path, [look(SUBMITTED, grid()[0])])
    remember(tmp_path, grid())
    waiting = report(folder, record, tmp_path).waiting
    assert (waiting.deadline, waiting.deadline_met) == (DEADLINE, True)
    assert waiting.perfect_foresight is not None
    kwh = record.energy_kwh.total
    assert waiting.perfect_foresight.emissions_gco2eq == pytest.approx(kwh * 150)
    assert waiting.perfect_foresight.as_run_gco2eq == pytest.approx(record.emissions_gco2eq)
    assert record.counterfactual is not None
    assert waiting.perfect_foresight.at_submission_gco2eq == pytest.approx(record.counterfactual.emissions_gco2eq)
    assert waiting.perfect_foresight.sources == ("neso",)


def test_the_checks_of_the_wait_fill_what_the_history_lacks(tmp_path: Path) -> None:
    """Looked at every half-hour, and the deadline was the end of the run."""
    looks = [look(reading.start, reading, STARTED + timedelta(hours=1)) for reading in grid((0, 5))]
    folder, record = finished(tmp_path, looks)
    foresight = report(folder, record, None).waiting.perfect_foresight
    assert foresight is not None
    assert foresight.captured_percent == pytest.approx(100.0)


def test_what_was_valued_at_a_forecast_is_taken_from_the_history(tmp_path: Path) -> None:
    forecast = grid(kind=IntensityKind.FORECAST)
    folder, record = finished(tmp_path, [look(SUBMITTED, None)], booked=forecast)
    assert "known for 0.0 %" in (report(folder, record, tmp_path).waiting.perfect_foresight_unknown or "")
    remember(tmp_path, grid())
    assert report(folder, record, tmp_path).waiting.perfect_foresight is not None


def test_hours_that_are_not_over_are_not_known_yet(tmp_path: Path) -> None:
    folder, record = finished(tmp_path, [look(SUBMITTED, grid()[0])])
    remember(tmp_path, grid())
    early = report(folder, record, tmp_path, now=STARTED + timedelta(hours=1, minutes=10))
    assert early.waiting.perfect_foresight is None
    assert "of the wait's window only: not from 2026-03-02T02:00:00Z" in (early.waiting.perfect_foresight_unknown or "")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: folder.ledger.unlink(), "the run's ledger cannot be read"),
        (lambda folder: folder.ledger.write_text("{}\n"), "is not the ledger of this record"),
        (lambda folder: folder.decisions.unlink(), "the run's deadline is not known"),
        (lambda folder: folder.decisions.write_text('{"decided_at": "2026-'), "the run's deadline is not known"),
    ],
)
def test_what_is_gone_is_said(tmp_path: Path, spoil, said: str) -> None:
    folder, record = finished(tmp_path, [look(SUBMITTED, grid()[0])])
    spoil(folder)
    assert said in (report(folder, record, tmp_path).waiting.perfect_foresight_unknown or "")


def test_decisions_of_an_earlier_run_in_the_same_folder_are_not_this_runs(tmp_path: Path) -> None:
    before = look(SUBMITTED - timedelta(days=1), None, DEADLINE - timedelta(days=1))
    after = look(NOW, None, DEADLINE + timedelta(days=3))
    folder, record = finished(tmp_path, [before, look(SUBMITTED, grid()[0]), after])
    assert wait_evidence(record, folder, None, now=NOW).delay.deadline == DEADLINE


def test_a_missed_deadline_is_reported(tmp_path: Path) -> None:
    folder, record = finished(tmp_path, [look(SUBMITTED, grid()[0], STARTED)])
    waiting = report(folder, record, None).waiting
    assert (waiting.deadline, waiting.deadline_met) == (STARTED, False)


def test_a_report_is_renewed_once_the_hours_up_to_the_deadline_are_known(tmp_path: Path) -> None:
    folder, record = finished(tmp_path, [look(SUBMITTED, grid()[0])])
    path = tmp_path / "reports" / "dag" / "run" / "report.json"
    early = STARTED + timedelta(hours=1, minutes=10)
    write_report(report(folder, record, tmp_path, now=early), path.parent)

    def renewed(now: datetime) -> list[Path]:
        reports, failures = renew_reports(tmp_path, since=STARTED, settings=ReportConfig(), now=now)
        assert failures == []
        return reports

    assert renewed(early) == []  # the deadline is to come
    assert renewed(NOW) == []  # over, but the history is empty
    remember(tmp_path, grid())
    assert renewed(NOW) == [path]
    assert json.loads(path.read_text())["waiting"]["perfect_foresight"]["captured_percent"] > 50
    assert renewed(NOW) == []


def test_a_replayed_run_is_set_against_the_trace_that_it_replayed(tmp_path: Path) -> None:
    """The replay knows the hours up to the deadline, though none of them has ever been."""
    section = {"virtual_start": "2026-03-01T20:00", "speed": 60.0}
    settings = {"zone": "GB", "provider": "replay", "replay": section}
    replay = open_replay(GridConfig.model_validate(settings))
    day = list(replay.readings(SUBMITTED, DEADLINE))
    rows = booked_rows(STARTED, day)
    folder, record = write_run(tmp_path / "run", rows, submitted_at=SUBMITTED, at_submission=day[:2], grid=settings)
    folder.append_decisions([look(SUBMITTED, day[0])])
    record = record.model_copy(update={"emission_factor_type": EmissionFactorType.LIFECYCLE})
    foresight = report(folder, record, None, now=SUBMITTED).waiting.perfect_foresight
    assert foresight is not None
    values = [reading.carbon_intensity_gco2eq_per_kwh for reading in day]
    assert foresight.emissions_gco2eq == pytest.approx(record.energy_kwh.total * min(values))
    assert foresight.intensity_kinds == {IntensityKind.REPLAYED: pytest.approx(1.0)}
    assert foresight.sources == ("replay:profile",)
