"""Time in a queue after the decision to start is no wait for the grid: also of trainings that share one sensor and one slot."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import Interruption, ReplayAnchor, TrainingRecord, decision_files
from lowtide.report.compare import compare_runs
from lowtide.report.html import render_html
from lowtide.report.markdown import render_markdown
from lowtide.report.model import Report
from lowtide.report.waiting import Queue, WaitEvidence, queue_of
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder

from tests.support.comparisons import compared, waiting_run
from tests.support.mapped import SUBMITTED, mapped_run
from tests.support.records import make_record
from tests.support.savings import savings_of

NOW = SUBMITTED + timedelta(days=2)
BARRED = "1 h of the time until the start came after the decision to start: that was a queue's"


def report(root: Path, folder: RunFolder, record: TrainingRecord) -> Report:
    found = wait_evidence(record, folder, root, now=NOW)
    return compare_runs(None, record, settings=ReportConfig(), now=NOW, evidence=found)


def test_of_one_sensors_trainings_the_one_that_stood_in_the_queue_is_not_credited(tmp_path: Path) -> None:
    """Decided at 22:00; the first began then, the second an hour later, when the first was done."""
    (first, mine), (second, queued) = mapped_run(tmp_path, [(0, "wait"), (1, "wait"), (2, "run")], [2.0, 3.0])
    waited = report(tmp_path, first, mine)
    assert waited.waiting.queued_s == 0.0
    assert "Waiting 2 h made this run's emissions" in waited.headline.text
    late = report(tmp_path, second, queued)
    assert late.waiting.queued_s == 3600.0
    assert "made this run's emissions" not in late.headline.text
    assert "Of that, 1 h was queueing after the decision to start" in render_markdown(late)
    page = render_html(late, run_folder=second.path)
    assert "waited 3\u00a0h, 1\u00a0h of it in a queue" in page
    assert "Less than at submission" in page
    assert "decisions of the run" in page


def test_where_the_sensor_let_them_start_at_once_all_their_delay_was_a_queues(tmp_path: Path) -> None:
    """Before, an instance's folder had no decisions, so that whether it waited was unknown, and its queue was credited."""
    _, (folder, record) = mapped_run(tmp_path, [(0, "run")], [0.0, 4.0])
    found = report(tmp_path, folder, record)
    assert found.waiting.no_wait == "no decision made it wait"
    assert "made this run's emissions" not in found.headline.text


def test_the_deadline_of_a_mapped_training_is_its_sensors(tmp_path: Path) -> None:
    ((folder, record),) = mapped_run(tmp_path, [(0, "wait"), (2, "run")], [2.0])
    waiting = report(tmp_path, folder, record).waiting
    assert (waiting.deadline, waiting.deadline_met) == (SUBMITTED + timedelta(hours=10), True)


def test_the_savings_count_the_one_that_waited_and_say_why_not_the_other(tmp_path: Path) -> None:
    mapped_run(tmp_path, [(0, "wait"), (2, "run")], [2.0, 3.0])
    waited, queued = savings_of(tmp_path).runs
    assert waited.avoided_by_waiting_gco2eq is not None
    assert (waited.wait_s, queued.wait_s) == (7200.0, 7200.0)  # the second one's third hour was in the queue
    assert queued.avoided_by_waiting_gco2eq is None
    assert queued.waiting_not_counted[0].startswith(BARRED)


def test_a_mapped_trainings_own_decisions_do_not_hide_its_sensors(tmp_path: Path) -> None:
    """The looks of a running training lie in its own folder; the savings then took it for one that had never waited."""
    ((folder, record),) = mapped_run(tmp_path, [(0, "wait"), (2, "run")], [2.0])
    own = {
        "action": "run",
        "reason": "in_progress",
        "text": "resumes",
        "decided_at": (record.started_at + timedelta(minutes=5)).isoformat(),
        "deadline": None,
    }
    folder.append_decisions([own | {"reading": None}])
    assert savings_of(tmp_path).runs[0].waited is True
    assert wait_evidence(record, folder, tmp_path, now=NOW).waited is True


def test_a_queue_after_the_wait_leaves_efficiency_to_be_claimed() -> None:
    found = WaitEvidence(waited=True, queued_s=3600.0)
    told = compare_runs(make_record(), waiting_run(), settings=ReportConfig(), now=NOW, evidence=found)
    assert told.controllable is not None
    assert told.controllable.parts == ("efficiency",)
    assert told.headline.text.startswith("Efficiency made emissions 18.3 % lower")
    assert "external: waiting -0.556 g" in told.headline.text
    assert told.headline.reasons[0].startswith(BARRED)
    assert compared(make_record(), waiting_run()).controllable != told.controllable


def after(minutes: float) -> datetime:
    return SUBMITTED + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("wait_min", "decided_min", "queue"),
    [
        (240, [0, 180], Queue(3600.0, 0.0)),
        (240, [230.1], Queue()),  # less than ten minutes
        (1200, [1150], Queue()),  # fifty minutes of twenty hours
        (1200, [1100], Queue(6000.0, 0.0)),
        (240, [], Queue()),  # nobody decided
        (240, [-30, 300], Queue()),  # of another run in the same folder
    ],
)
def test_a_queue_is_from_the_last_decision_to_the_start(
    wait_min: float, decided_min: list[float], queue: Queue
) -> None:
    run = waiting_run(submitted_at=SUBMITTED, wait_s=60 * wait_min)
    assert queue_of(run, [after(minutes) for minutes in decided_min]) == queue


def test_going_on_after_a_pause_may_stand_in_a_queue_too_and_a_mishap_does_not() -> None:
    gaps = [
        Interruption(attempt=k, start=after(a), end=after(b), resumed_from_optimizer_step=1)
        for k, a, b in ((2, 120, 240), (3, 300, 400))
    ]
    run = waiting_run(submitted_at=SUBMITTED, wait_s=3600.0, interruptions=tuple(gaps), policy="interruptible")
    assert queue_of(run, [after(60), after(200)]) == Queue(0.0, 2400.0)


def test_a_queue_in_a_pause_is_not_said_to_be_of_the_wait_before_the_start(tmp_path: Path) -> None:
    """Else a run would have waited two minutes, and stood in a queue for forty of them."""
    gap = Interruption(attempt=2, start=after(120), end=after(240), resumed_from_optimizer_step=1)
    run = waiting_run(submitted_at=SUBMITTED, wait_s=120.0, interruptions=(gap,), policy="interruptible")
    found = WaitEvidence(waited=True, queued_s=2400.0)
    told = compare_runs(None, run, settings=ReportConfig(), now=NOW, evidence=found)
    assert "Of that and the pauses, 40 min was queueing after the decision to start" in render_markdown(told)
    assert "paused 2\u00a0h, 40\u00a0min of both in a queue" in render_html(told, run_folder=tmp_path)


def test_under_replay_the_usual_time_of_a_start_is_counted_in_real_seconds() -> None:
    """At 360 virtual seconds a second, a start that takes a minute takes six virtual hours."""
    anchor = ReplayAnchor(real_start=SUBMITTED, virtual_start=SUBMITTED, speed=360.0)
    run = waiting_run(submitted_at=SUBMITTED, wait_s=8 * 3600.0, replay=anchor)
    assert queue_of(run, [after(120)]) == Queue()
    assert queue_of(run.model_copy(update={"replay": None}), [after(120)]) == Queue(6 * 3600.0, 0.0)


@pytest.mark.parametrize(
    ("name", "names"), [("a", ["a"]), ("a~0", ["a", "a~0"]), ("a~x", ["a~x"]), ("~1", ["~1"]), ("b~12", ["b", "b~12"])]
)
def test_an_instance_of_a_mapped_training_looks_into_its_runs_folder(name: str, names: list[str]) -> None:
    assert [path.parent.name for path in decision_files(Path("runs/nightly") / name)] == names
