"""CodeCarbon on RAPL counters in files of ours: read, forbidden, gone in mid-run, and standing still."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lowtide.errors import ArtifactError
from lowtide.tracker.codecarbon import CodeCarbonMeter
from lowtide.tracker.counter_health import CounterWatch
from lowtide.tracker.ledger import LedgerWriter
from lowtide.units import JOULES_PER_KWH

from tests.tracker.tracker_tools import row

NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user for whom permissions hold: they do not for root."""
    root = os.geteuid() == 0
    if root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others can look into; pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def counter(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package's counter at 1,000 J, where CodeCarbon looks for one."""
    from codecarbon.core import cpu, hardware_cache
    from codecarbon.external import hardware

    domain = open_folder / "intel-rapl" / "intel-rapl:0"
    domain.mkdir(parents=True)
    (domain / "name").write_text("package-0\n")
    (domain / "max_energy_range_uj").write_text("262143328850\n")
    (domain / "energy_uj").write_text("1000000000\n")
    monkeypatch.setattr(cpu, "_get_candidate_bases", lambda rapl_dir: [str(open_folder)])

    class Here(cpu.IntelRAPL):  # type: ignore[misc]  # CodeCarbon has no types
        def __init__(self, rapl_dir: str, **how: Any) -> None:
            super().__init__(rapl_dir=str(open_folder), **how)

    monkeypatch.setattr(hardware, "IntelRAPL", Here)
    hardware_cache.clear_cache()
    yield domain / "energy_uj"
    hardware_cache.clear_cache()


def add(counter: Path, joules: float) -> None:
    counter.write_text(f"{int(counter.read_text()) + int(joules * 1e6)}\n")


def test_a_readable_counter_is_rapl_and_its_joules_are_the_cpus(counter: Path) -> None:
    """50 J between two looks, 25 J more before the stop."""
    meter = CodeCarbonMeter(count_gpus=False)
    assert meter.methods["cpu"] == "rapl"
    meter.start()
    add(counter, 50)
    first = meter.sample()
    add(counter, 25)
    last = meter.stop()
    assert first.cpu_energy_kwh * JOULES_PER_KWH == pytest.approx(50, rel=1e-4)
    assert last.cpu_energy_kwh * JOULES_PER_KWH == pytest.approx(75, rel=1e-4)
    assert (meter.shortfall, meter.problems) == (None, ())


def test_a_counter_that_only_root_may_read_is_an_estimate_and_labelled_so(counter: Path) -> None:
    """Every kernel since 2020 is like this unless somebody opens the file to others."""
    import pandas  # noqa: F401 CodeCarbon's estimates import it, which nobody may do where Python lies in root's home

    counter.chmod(0o000)  # root reads it all the same, nobody else does, whoever owns it
    with without_privileges():
        meter = CodeCarbonMeter(count_gpus=False)
        meter.start()
        time.sleep(0.1)
        last = meter.stop()
    assert meter.methods["cpu"] == "tdp_estimate"
    assert last.cpu_energy_kwh > 0
    assert meter.shortfall is None


@pytest.mark.parametrize("how", ["gone", "forbidden", "no number"])
def test_a_counter_that_cannot_be_read_in_mid_run_marks_the_figures_for_good(counter: Path, how: str) -> None:
    """CodeCarbon begins anew where it comes back and says nothing: what passed in between is lost."""
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    add(counter, 50)
    text = counter.read_text()
    if how == "gone":
        counter.unlink()
    elif how == "forbidden":
        counter.chmod(0o000)
    else:
        counter.write_text("")
    with without_privileges():
        assert meter.sample().cpu_energy_kwh == 0
    if how == "forbidden":
        counter.chmod(0o644)
    counter.write_text(text)
    add(counter, 50)
    meter.stop()
    assert f"the processor's RAPL counter {counter} could not be read for a time" in (meter.shortfall or "")
    assert meter.problems == (meter.shortfall,)


@pytest.mark.parametrize(("unseen_s", "told"), [(200.0, False), (400.0, True)])
def test_a_counter_that_was_not_read_for_longer_than_it_counts_marks_the_figures_for_good(
    counter: Path, monkeypatch: pytest.MonkeyPatch, unseen_s: float, told: bool
) -> None:
    """A stopped process, or rows of half an hour: 262 kJ are four minutes at 1,000 W, and two rounds look like one."""
    now_s = [0.0]
    meter = CodeCarbonMeter(count_gpus=False)
    monkeypatch.setattr(meter, "_watch", CounterWatch(meter._tracker, lambda: now_s[0]))
    meter.start()
    for after_s in (5.0, unseen_s, 5.0):
        now_s[0] += after_s
        add(counter, 10)
        meter.sample()
    add(counter, 10)
    meter.stop()
    assert (f"not read for {unseen_s:.0f} s" in (meter.shortfall or "")) is told
    assert bool(meter.problems) is told


def test_a_counter_that_stands_still_marks_the_figures(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some virtual machines show a counter that never moves: 0 W would be claimed as measured."""
    monkeypatch.setattr("lowtide.tracker.counter_health._STUCK_S", 0.05)
    meter = CodeCarbonMeter(count_gpus=False)
    meter.start()
    time.sleep(0.1)
    meter.sample()
    assert meter.shortfall == "CodeCarbon's total of the CPU's energy does not move; it is too low"
    add(counter, 10)
    meter.stop()
    assert meter.shortfall is None, "it moves again, and its difference covers the time"


def test_a_read_only_folder_is_one_sentence_before_anything_is_trained(open_folder: Path) -> None:
    """A new ledger, and one that became read-only between two attempts."""
    with LedgerWriter(open_folder / "ledger.jsonl") as ledger:
        ledger.append([row(0)])
    (open_folder / "ledger.jsonl").chmod(0o444)
    open_folder.chmod(0o555)
    for name in ("ledger.jsonl", "new.jsonl"):
        with without_privileges(), pytest.raises(ArtifactError, match="fix the permissions") as caught:
            LedgerWriter(open_folder / name)
        assert "\n" not in str(caught.value)
    open_folder.chmod(0o755)
