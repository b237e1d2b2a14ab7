"""Attempts on machines that measure differently: no figure is labelled better than its weakest part."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lowtide.records import IntensityKind
from lowtide.runs.account import account_of, how_measured
from lowtide.runs.folder import RunFolder
from lowtide.tracker.ledger import LedgerWriter, read_ledger

from tests.support.runs import booked_rows, opening, slot_reading

SUBMITTED = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
READINGS = [slot_reading(SUBMITTED + k * timedelta(minutes=30), 200.0, IntensityKind.MEASURED) for k in range(20)]
RAPL = {"cpu": "rapl", "gpu": "nvml", "ram": "constant"}
ESTIMATE = {"cpu": "tdp_estimate", "gpu": "none", "ram": "constant"}


def attempts(path: Path, *details: dict[str, Any]) -> RunFolder:
    folder = RunFolder(path)
    for number, changes in enumerate(details, start=1):
        start = SUBMITTED + number * timedelta(hours=1)
        with LedgerWriter(folder.ledger) as ledger:
            ledger.open_attempt(number, opening(SUBMITTED, **changes))
            rows = booked_rows(start, READINGS, minutes=2)
            ledger.append([replace(row, attempt=number) for row in rows])
            ledger.close_attempt("failed")
    return folder


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["estimate last", "estimate first"])
def test_a_retry_on_a_worker_with_rapl_does_not_make_an_estimate_measured(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    """Before, the last attempt's methods stood for all, and an efficiency could be claimed on a TDP."""
    both = ({"methods": RAPL}, {"methods": ESTIMATE, "measuring_scope": "process_tree"})
    folder = attempts(tmp_path, both[order[0]], both[order[1]])
    methods, scope, problems = how_measured(read_ledger(folder.ledger))
    assert methods == {"cpu": "tdp_estimate", "gpu": "nvml", "ram": "constant"}
    assert scope == "machine"
    assert len(problems) == 2
    account = account_of(folder)
    assert account.energy_kwh.methods == methods
    assert account.measuring_scope == "machine"
    assert "the attempts' CPU energy was obtained differently (rapl, tdp_estimate)" in account.problems
    assert account.uncertainty is not None
    assert any("cpu by tdp_estimate" in line for line in account.uncertainty.basis)


def test_attempts_that_measure_alike_have_nothing_to_report(tmp_path: Path) -> None:
    contents = read_ledger(attempts(tmp_path, {"methods": RAPL}, {"methods": RAPL}).ledger)
    assert how_measured(contents) == (RAPL, "machine", [])
