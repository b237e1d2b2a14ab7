"""``lowtide train``: wait as the configuration says, train, leave a record and a ledger."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lowtide.cli.common import open_from_environment, print_json
from lowtide.config.airflow_params import CONFIGS_FOLDER, configuration_files
from lowtide.config.loader import LoadedConfig, load_config, parse_setting
from lowtide.errors import TrainingError
from lowtide.grid.client import IntensityClient
from lowtide.grid.clock import clock_for
from lowtide.records import SciScore, TrainingRecord
from lowtide.runs.context import TrainingRun
from lowtide.runs.durations import expected_job
from lowtide.runs.folder import RunFolder
from lowtide.runs.pausing import earlier_pauses, train_with_pauses
from lowtide.runs.run import (
    Beginning,
    LogPace,
    goes_on,
    last_checkpoint,
    new_training_id,
    refuse_another_training,
    unfinished,
)
from lowtide.runs.run import Progress as TrainingProgress
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision
from lowtide.scheduler.waiting import DecisionEvent, wait_in_foreground
from lowtide.timeutil import format_moment, utc_now

# What a person sees in the terminal: a countdown while waiting, a bar while training; plain lines without a terminal.


class Display:
    """Shows the run on standard error, so that standard output stays for results."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("{task.fields[phase]:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("samples  {task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._pace: LogPace | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def look(self, looked: DecisionEvent) -> None:
        """Print a look's lines."""
        for line in looked.lines():
            self.say(line)

    def sleep(self, seconds: float) -> None:
        """Sleep, with a countdown where there is a terminal."""
        if not self._live or seconds < 2:
            time.sleep(seconds)
            return
        end = time.monotonic() + seconds
        with self._console.status("") as status:
            while (left := end - time.monotonic()) > 0:
                minutes, rest = divmod(round(left), 60)
                status.update(f"waiting; next look in {minutes}:{rest:02d} (Ctrl-C ends the wait)")
                time.sleep(min(1.0, left))

    def training(self, progress: TrainingProgress) -> None:
        """Show a snapshot of the training."""
        if self._live:
            self._move_bar(progress)
            return
        self._pace = self._pace or LogPace()  # from the training's start: the wait before it may be long
        if self._pace.is_due():
            self.say(progress.sentence())

    def _move_bar(self, progress: TrainingProgress) -> None:
        figures = f"{progress.power_w:.1f} W  {progress.energy_kwh * 1000:.3f} Wh  {progress.emissions_gco2eq:.3f} g"
        if progress.carbon_intensity_gco2eq_per_kwh is not None:
            figures += f" at {progress.carbon_intensity_gco2eq_per_kwh:.0f} g/kWh"
        if self._task is None:
            self._task = self._bar.add_task("", phase=progress.phase, figures=figures)
            self._bar.start()
        self._bar.update(
            self._task,
            completed=progress.samples,
            total=progress.samples_total or None,
            phase=progress.phase,
            figures=figures,
        )


# A run in the foreground: it waits, trains and pauses as its policy says, and a person sees all of it.


@dataclass(frozen=True, slots=True)
class Foreground:
    """One run, its signal, and where it is shown; every look is kept among the run's decisions."""

    run: TrainingRun
    signal: IntensityClient
    display: Display

    def job(self) -> Job:
        """Return the job to decide on."""
        job, _ = expected_job(self.run.config, job_id=self.run.folder.path.name, submitted_at=self.run.submitted_at)
        return job

    def wait(self, job: Job) -> Decision:
        """Look until the decision is no longer to wait, and return it."""
        clock = clock_for(self.run.anchor)
        return wait_in_foreground(job, self.signal, clock, on_look=self._keep, sleep=self.display.sleep)

    def train(self, job: Job) -> TrainingRecord:
        """Train, in pieces where the policy pauses."""
        return train_with_pauses(
            self.run,
            job,
            self.signal,
            clock_for(self.run.anchor),
            on_look=self._keep,
            on_progress=self.display.training,
            wait=self.wait,
        )

    def _keep(self, looked: DecisionEvent) -> None:
        self.run.folder.append_decisions([looked.decision.as_json()])
        self.display.look(looked)


# ``lowtide train`` on a folder that holds an unfinished training.


@contextmanager
def told_how_to_go_on(folder: RunFolder, display: Display) -> Iterator[None]:
    """Tell a person whose training ended early that it can be gone on with, and how."""
    try:
        yield
    except (KeyboardInterrupt, TrainingError):
        found = last_checkpoint(folder) if unfinished(folder) else None
        if found:
            display.say(
                f"optimizer step {found.optimizer_step} is saved; the same command with --output {folder.path} goes on from it"
            )
        raise


def go_on(config: LoadedConfig, folder: RunFolder, earlier: Beginning, display: Display) -> TrainingRecord:
    """Go on with an unfinished training at once: its wait is over, its submission and its ledger stay.

    :raises ConfigurationError: its configuration was another one; the message names the difference.
    """
    signal, anchor = open_from_environment(
        config.values.grid, utc_now(), artifacts=config.artifacts_path, anchor=earlier.anchor
    )
    run = TrainingRun(
        config=config, run_id=earlier.run_id, folder=folder, submitted_at=earlier.submitted_at, anchor=anchor
    )
    refuse_another_training(run, earlier)
    found = last_checkpoint(folder)
    start = f"from optimizer step {found.optimizer_step}" if found else "from the beginning: nothing had been saved"
    submitted = format_moment(earlier.submitted_at)
    display.say(f"going on with the unfinished run {earlier.run_id}, submitted at {submitted}, {start}")
    foreground = Foreground(run, signal, display)
    return foreground.train(earlier_pauses(folder, foreground.job()))


EXAMPLES = """examples:
  lowtide train include/configs/optimized.yaml
  lowtide train include/configs/optimized.yaml --now --set training.epochs=1 --output artifacts/runs/quick
  lowtide train include/configs/demo.yaml --json > record.json

An unfinished training in --output DIR (interrupted, killed, failed) is gone on with from its last checkpoint, at once:
its wait is over, and its submission and ledger stay. A finished one is moved to DIR/finished-N, and a new one begins.

environment: LOWTIDE_GRID_URL, LOWTIDE_GRID_TOKEN, LOWTIDE_GRID_LOGIN (address, token or password, and login for the provider),
             LOWTIDE_DATA_DIR (where data sets are kept)
exit status: 0 trained, 1 the training failed, 2 something to mend, 3 not run because on_latest_start says skip or fail
"""
NOT_RUN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of one in include/configs")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="the run's folder (default: below the artifact root)"
    )
    parser.add_argument("--now", action="store_true", help="start at once, whatever the policy says")
    parser.add_argument(
        "--fresh", action="store_true", help="do not go on with an unfinished training in DIR: move it to DIR/other-N"
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="lay a value over the file; may be repeated"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = load_config(config_path(options.config), _settings(options))
    now = utc_now()
    output = options.output or config.artifacts_path / "runs" / "cli" / now.strftime("%Y%m%dT%H%M%SZ")
    folder = RunFolder(output.resolve())
    folder.create()
    earlier = None if options.fresh else goes_on(folder, config.values)
    with Display(quiet=options.json) as display, told_how_to_go_on(folder, display):
        if earlier:
            record = go_on(config, folder, earlier, display)
        else:
            decision, trained = _wait_and_train(config, folder, now, display)
            if trained is None:
                _show_refusal(decision, as_json=options.json)
                return NOT_RUN
            record = trained
    _show(record, folder, as_json=options.json)
    return 0


def config_path(text: str) -> Path:
    """Return the file that a CONFIG argument means: a path, or the name of a file in include/configs."""
    path = Path(text)
    return CONFIGS_FOLDER / text if not path.exists() and text in configuration_files() else path


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    settings = dict(parse_setting(text) for text in options.set)
    return settings | {"scheduler.policy": "immediate"} if options.now else settings


def _wait_and_train(
    config: LoadedConfig, folder: RunFolder, now: datetime, display: Display
) -> tuple[Decision, TrainingRecord | None]:
    signal, anchor = open_from_environment(config.values.grid, now, artifacts=config.artifacts_path)
    run = TrainingRun(
        config=config,
        run_id=folder.path.name,
        folder=folder,
        submitted_at=anchor.virtual_start if anchor else now,
        anchor=anchor,
        training_id=new_training_id(),  # an unfinished one was either gone on with before the wait, or --fresh
    )
    foreground = Foreground(run, signal, display)
    job = foreground.job()
    decision = foreground.wait(job)
    return decision, foreground.train(job) if decision.action is Action.RUN else None


def _show_refusal(decision: Decision, *, as_json: bool) -> None:
    if as_json:
        print_json({"decision": decision.as_json(), "record": None})


def _show(record: TrainingRecord, folder: RunFolder, *, as_json: bool) -> None:
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    kinds = ", ".join(f"{share:.0%} {kind}" for kind, share in record.intensity_kinds.items())
    print(
        f"accuracy    {record.test_accuracy:.2%} on the test set, {record.samples:,} samples in {record.duration_s:.0f} s"
    )
    print(f"energy      {record.energy_kwh.total * 1000:.3f} Wh ({_methods(record)}; scope: {record.measuring_scope})")
    print(
        f"emissions   {record.emissions_gco2eq:.3f} gCO2eq at {record.mean_carbon_intensity_gco2eq_per_kwh:.0f} g/kWh ({kinds})"
    )
    if record.uncertainty and record.sci:
        low, high = record.uncertainty.emissions_low_gco2eq, record.uncertainty.emissions_high_gco2eq
        print(f"            between {low:.3f} and {high:.3f} g by the methods' known errors; SCI {_score(record.sci)}")
    print(f"memory      {record.peak_memory_bytes / 2**20:.0f} MiB ({record.peak_memory_kind})")
    print(f"record      {folder.record}")


def _score(score: SciScore) -> str:
    unit = score.functional_unit.replace("1000_samples", "1,000 samples")
    return f"{score.gco2eq_per_unit:.3f} g per {unit}"


def _methods(record: TrainingRecord) -> str:
    return ", ".join(f"{part} {method}" for part, method in record.energy_kwh.methods.items())
