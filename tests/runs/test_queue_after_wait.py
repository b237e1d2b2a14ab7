"""Time in a queue after the decision to start is no wait for the grid: also of trainings that share one sensor and one slot."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.records import IntensityKind, Interruption, RecordedDecision, ReplayAnchor, TrainingRecord, decision_files
from lowtide.report.html.page import render_html
from lowtide.report.model import Report
from lowtide.report.text import render_markdown
from lowtide.report.waiting import Delay, WaitEvidence, delay_of, waiting_reasons
from lowtide.runs.evidence import wait_evidence
from lowtide.runs.folder import RunFolder

from tests.support.comparisons import compare_one, compared, waiting_run
from tests.support.mapped import SUBMITTED, mapped_run
from tests.support.records import make_record
from tests.support.savings import savings_of

NOW = SUBMITTED + timedelta(days=2)
BARRED = "1 h of the time until the start came after the decision to start: the effects of queue and wait"


def report(root: Path, folder: RunFolder, record: TrainingRecord) -> Report:
    found = wait_evidence(record, folder, root, now=NOW)
    return compare_one(None, record, settings=ReportConfig(), now=NOW, evidence=found)


def test_of_one_sensors_trainings_the_one_that_stood_in_the_queue_is_not_credited(tmp_path: Path) -> None:
    """Decided at 22:00; the first began then, the second an hour later, when the first was done."""
    (first, mine), (second, queued) = mapped_run(tmp_path, [(0, "wait"), (1, "wait"), (2, "run")], [2.0, 3.0])
    waited = report(tmp_path, first, mine)
    assert waited.waiting.queued_s == 0.0
    assert "Waiting 2 h made this run's emissions" in waited.headline.text
    late = report(tmp_path, second, queued)
    assert late.waiting.queued_s == 3600.0
    assert "made this run's emissions" not in late.headline.text
    assert "Of that, 1 h was queueing and start-up after the decision to start" in render_markdown(late)
    page = render_html(late, run_folder=second.path)
    assert "waited 3\u00a0h, 1\u00a0h of it queued or starting" in page
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
    trainings = mapped_run(tmp_path, [(0, "wait"), (2, "run")], [2.0, 3.0])
    waited, queued = savings_of(tmp_path).runs
    assert waited.avoided_by_waiting_gco2eq is not None
    assert (waited.wait_s, queued.wait_s) == (7200.0, 7200.0)  # the second one's third hour was in the queue
    assert queued.avoided_by_waiting_gco2eq is None
    assert queued.waiting_not_counted[0].startswith(BARRED)
    reports = [report(tmp_path, folder, record).waiting.not_claimed for folder, record in trainings]
    assert reports == [waited.waiting_not_counted, queued.waiting_not_counted]  # one rule for report and savings


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
    assert wait_evidence(record, folder, tmp_path, now=NOW).delay.waited is True


def test_a_queue_after_the_wait_leaves_efficiency_to_be_claimed() -> None:
    found = WaitEvidence(delay=Delay(waited=True, queued_s=3600.0))
    told = compare_one(make_record(), waiting_run(), settings=ReportConfig(), now=NOW, evidence=found)
    assert told.controllable is not None
    assert told.controllable.parts == ("efficiency",)
    assert told.headline.text.startswith("Efficiency made emissions 18.3 % lower")
    assert "external: waiting -0.556 g" in told.headline.text
    assert told.headline.reasons[0].startswith(BARRED)
    assert compared(make_record(), waiting_run()).controllable != told.controllable


def after(minutes: float) -> datetime:
    return SUBMITTED + timedelta(minutes=minutes)


def decided(*decisions: tuple[float, str]) -> list[RecordedDecision]:
    """Return decisions, the newest first, of minutes after submission and actions."""
    return [
        RecordedDecision(
            decided_at=after(minutes), action=action, reason="threshold", text="", deadline=None, reading=None
        )
        for minutes, action in sorted(decisions, reverse=True)
    ]


@pytest.mark.parametrize(
    ("decisions", "delay"),
    [
        ([(0, "run"), (10, "wait"), (180, "run")], Delay(waited=True, waited_s=10_800.0, queued_s=3600.0)),
        ([(0, "wait"), (239, "run")], Delay(waited=True, waited_s=14_340.0, queued_s=60.0)),
        ([(0, "run")], Delay(waited=False, queued_s=14_400.0)),
        ([(0, "wait")], Delay(waited=True, waited_s=14_400.0, queued_s=0.0)),  # no decision to start
        ([], Delay()),
        ([(-30, "run"), (-20, "wait")], Delay()),  # of another run in the same folder
    ],
)
def test_waited_and_queued_are_exact_to_the_second(decisions: list[tuple[float, str]], delay: Delay) -> None:
    run = waiting_run(submitted_at=SUBMITTED, wait_s=14_400.0)
    assert delay_of(run, decided(*decisions)) == delay


def test_resuming_after_a_pause_may_be_queued_too_and_a_failure_is_not() -> None:
    gaps = [
        Interruption(attempt=k, start=after(a), end=after(b), resumed_from_optimizer_step=1)
        for k, a, b in ((2, 120, 240), (3, 300, 400))
    ]
    run = waiting_run(
        submitted_at=SUBMITTED, wait_s=3600.0, interruptions=tuple(gaps), policy="interruptible", ended_at=after(500)
    )
    found = delay_of(run, decided((0, "wait"), (60, "run"), (120, "pause"), (200, "run")))
    assert found == Delay(waited=True, waited_s=3600.0, paused_s=13_200.0 - 2400.0, queued_s=2400.0)


def test_no_more_decisions_are_read_than_are_needed() -> None:
    def read() -> Iterator[RecordedDecision]:
        yield from decided((239, "run"), (200, "wait"))
        raise AssertionError("the wait was known")

    assert delay_of(waiting_run(submitted_at=SUBMITTED, wait_s=14_400.0), read()).queued_s == 60.0


@pytest.mark.parametrize(("queued_s", "barred"), [(600.0, False), (720.0, False), (721.0, True)])
def test_a_queue_of_more_than_5_percent_of_the_delay_bars_the_claim(queued_s: float, barred: bool) -> None:
    run = waiting_run(submitted_at=SUBMITTED, wait_s=14_400.0)
    assert bool(waiting_reasons(run, Delay(waited=True, queued_s=queued_s))) is barred
    found = compare_one(
        None, run, settings=ReportConfig(), now=NOW, evidence=WaitEvidence(delay=Delay(waited=True, queued_s=queued_s))
    )
    assert found.waiting.queue_bars_claim is barred
    assert ("Waiting 4 h made" in found.headline.text) is not barred


def test_a_queue_in_a_pause_is_not_said_to_be_of_the_wait_before_the_start(tmp_path: Path) -> None:
    """Else a run would have waited two minutes, and stood in a queue for forty of them."""
    gap = Interruption(attempt=2, start=after(120), end=after(240), resumed_from_optimizer_step=1)
    run = waiting_run(submitted_at=SUBMITTED, wait_s=120.0, interruptions=(gap,), policy="interruptible")
    found = WaitEvidence(delay=Delay(waited=True, queued_s=2400.0))
    told = compare_one(None, run, settings=ReportConfig(), now=NOW, evidence=found)
    assert "Of that and the pauses, 40 min was queueing and start-up after the decision to start" in render_markdown(
        told
    )
    assert "paused 2\u00a0h, 40\u00a0min of both queued or starting" in render_html(told, run_folder=tmp_path)


def test_a_simulated_runs_wait_is_not_barred_by_a_start_of_virtual_hours() -> None:
    """At 360 virtual seconds a second, a start that takes a minute takes six virtual hours."""
    anchor = ReplayAnchor(real_start=SUBMITTED, virtual_start=SUBMITTED, speed=360.0)
    run = waiting_run(
        submitted_at=SUBMITTED, wait_s=8 * 3600.0, replay=anchor, intensity_kinds={IntensityKind.REPLAYED: 1.0}
    )
    delay = Delay(waited=True, queued_s=6 * 3600.0)
    assert waiting_reasons(run, delay) == []
    real = run.model_copy(update={"replay": None, "intensity_kinds": {IntensityKind.MEASURED: 1.0}})
    assert waiting_reasons(real, delay)[0].startswith("6 h of the time until the start")


@pytest.mark.parametrize(
    ("name", "names"), [("a", ["a"]), ("a~0", ["a", "a~0"]), ("a~x", ["a~x"]), ("~1", ["~1"]), ("b~12", ["b", "b~12"])]
)
def test_an_instance_of_a_mapped_training_looks_into_its_runs_folder(name: str, names: list[str]) -> None:
    assert [path.parent.name for path in decision_files(Path("runs/nightly") / name)] == names
