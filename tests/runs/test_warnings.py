"""What a training warns of is told where an auditor looks: in the record, in the report, in the account of a killed run."""

import threading

import pytest
from lowtide.config.schema import ReportConfig
from lowtide.errors import TrainingStopped
from lowtide.report.export import csv_text
from lowtide.runs.account import account_of
from lowtide.runs.run import run_training
from lowtide.timeutil import utc_now

from tests.support.comparisons import compare_one
from tests.support.prepared_runs import LONG, prepared

HALVED = [f"memory ran out at optimizer step 1 with micro-batches of {size}" for size in (50, 25)]
GREEDY = LONG | {"training__model": {"path": "tests.support.greedy_model:GreedyModel"}}


pytestmark = pytest.mark.usefixtures("mnist")


def test_the_warnings_of_every_attempt_are_in_record_and_report(tmp_path):
    """The second attempt goes on with the micro-batch that the first one came to, so it has nothing to warn of itself."""
    run, signal = prepared(tmp_path, **GREEDY)
    folder, stop = run.folder, threading.Event()
    with pytest.raises(TrainingStopped):
        run_training(run, signal, stop=stop, on_checkpoint=lambda _: stop.set())
    killed = account_of(folder)
    assert [warning.partition(" (")[0] for warning in killed.warnings] == HALVED

    record = run_training(run, signal)
    assert record.attempts == 2
    assert (record.micro_batch_size, record.accumulation_steps) == (10, 10)
    assert record.warnings == killed.warnings
    assert not any("memory ran out" in problem for problem in record.problems)  # those are of the measuring
    report = compare_one(None, record, settings=ReportConfig(), now=utc_now())
    assert f"the run's training warned: {record.warnings[0]}" in report.notes
    assert record.warnings[1] in csv_text([record])
