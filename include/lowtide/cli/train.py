"""``lowtide train``: wait as the configuration says, train, write a record and a ledger."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lowtide.cli.options import add_configuration, configuration, open_from_environment, print_json
from lowtide.config.loader import PROJECT_ROOT, LoadedConfig
from lowtide.errors import TrainingError
from lowtide.records import Clock, TrainingRecord
from lowtide.runs.context import TrainingRun
from lowtide.runs.durations import expected_job
from lowtide.runs.folder import RunFolder
from lowtide.runs.pausing import after_pause, earlier_pauses, train_slice
from lowtide.runs.run import (
    LogThrottle,
    RunStart,
    last_checkpoint,
    new_training_id,
    refuse_another_training,
    resumable,
    unfinished,
)
from lowtide.runs.run import Progress as TrainingProgress
from lowtide.scheduler.job import Job
from lowtide.scheduler.types import Action, Decision
from lowtide.scheduler.waiting import DecisionEvent, wait_in_foreground
from lowtide.timeutil import format_time, utc_now
from lowtide.trainer.child_process import require_pytorch
from lowtide.trainer.import_paths import check_import_paths

EXAMPLES = """examples:
  lowtide train include/configs/optimized.yaml
  lowtide train include/configs/optimized.yaml --now --set training.epochs=1 --output artifacts/runs/quick
  lowtide train include/configs/demo.yaml --json > record.json

An unfinished training in --output DIR (interrupted, killed, failed) resumes from its last checkpoint, at once: its
submission and its ledger are kept. A finished one is moved to DIR/finished-N, and a new one starts.

environment: LOWTIDE_GRID_URL, LOWTIDE_GRID_TOKEN, LOWTIDE_GRID_LOGIN (address, token or password, and login for the provider),
             LOWTIDE_DATA_DIR (where data sets are kept)
exit status: 0 trained, 1 the training failed, 2 a mistake to correct, 3 not run because on_latest_start is skip or fail
"""
NOT_RUN = 3


class Display:
    """Shows the run on standard error: a bar in a terminal, else lines. Standard output is for results."""

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
        self._pace: LogThrottle | None = None

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def training(self, progress: TrainingProgress) -> None:
        """Show a snapshot of the training."""
        self._pace = self._pace or LogThrottle()  # from the training's start: the wait before it may be long
        if self._live:
            self._move_bar(progress)
        elif self._pace.is_due():
            self.say(progress.sentence())

    def _move_bar(self, progress: TrainingProgress) -> None:
        figures = f"{progress.power_w:.1f} W  {progress.energy_kwh * 1000:.3f} Wh  {progress.emissions_gco2eq:.3f} g"
        if progress.carbon_intensity_gco2eq_per_kwh is not None:
            figures += f" at {progress.carbon_intensity_gco2eq_per_kwh:.0f} g/kWh"
        if self._task is None:
            self._task = self._bar.add_task("", phase=progress.phase, figures=figures)
            self._bar.start()
        total = progress.samples_total or None
        self._bar.update(self._task, completed=progress.samples, total=total, phase=progress.phase, figures=figures)


def train(
    config: LoadedConfig, folder: RunFolder, display: Display, *, resumed: RunStart | None
) -> TrainingRecord | Decision:
    """Wait and train in the foreground; every decision is shown and appended to the run's decisions.

    :param resumed: the unfinished training in the folder: it resumes at once, with its submission and its ledger.
    :return: the record, or the decision not to run.
    :raises ConfigurationError: PyTorch, the model or the data are not there, or the unfinished training had another
        configuration.
    """
    require_pytorch()  # before a wait of hours
    check_import_paths(config.values.training, PROJECT_ROOT)
    now = utc_now()
    signal, anchor = open_from_environment(
        config.values.grid, now, artifacts=config.artifacts_path, anchor=resumed.anchor if resumed else None
    )
    run = TrainingRun(
        config=config,
        run_id=resumed.run_id if resumed else folder.path.name,
        folder=folder,
        submitted_at=resumed.submitted_at if resumed else anchor.virtual_start if anchor else now,
        anchor=anchor,
        training_id=None if resumed else new_training_id(),
    )
    clock = Clock(anchor)

    def keep(event: DecisionEvent) -> None:
        folder.append_decisions([event.decision.as_json()])
        for line in event.lines():
            display.say(line)

    def wait(job: Job) -> Decision:
        return wait_in_foreground(job, signal, clock, on_decision=keep)

    job, _ = expected_job(config, job_id=folder.path.name, submitted_at=run.submitted_at)
    if resumed:
        refuse_another_training(run, resumed)
        display.say(_resuming(resumed, folder))
        job = earlier_pauses(folder, job, resumed.training_id)
    elif (decision := wait(job)).action is not Action.RUN:
        return decision
    while isinstance(
        ended := train_slice(run, job, signal, clock, on_decision=keep, on_progress=display.training), Job
    ):
        wait(ended)
        job = after_pause(ended)
    return ended


def _resuming(earlier: RunStart, folder: RunFolder) -> str:
    found = last_checkpoint(folder)
    step = f"from optimizer step {found.optimizer_step}" if found else "from the start: it has no checkpoint"
    return f"resuming the unfinished run {earlier.run_id}, submitted at {format_time(earlier.submitted_at)}, {step}"


@contextmanager
def advice_to_resume(folder: RunFolder, display: Display) -> Iterator[None]:
    """Show how a training that ended early can be resumed."""
    try:
        yield
    except (KeyboardInterrupt, TrainingError):
        found = last_checkpoint(folder) if unfinished(folder) else None
        if found:
            again = f"the same command with --output {folder.path} resumes from it"
            display.say(f"optimizer step {found.optimizer_step} is saved; {again}")
        raise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_configuration(parser)
    output = "the run's folder (default: below the artifact root)"
    parser.add_argument("--output", metavar="DIR", type=Path, help=output)
    parser.add_argument("--now", action="store_true", help="start at once, whatever the policy says")
    fresh = "do not resume an unfinished training in DIR: move it to DIR/other-N"
    parser.add_argument("--fresh", action="store_true", help=fresh)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    config = configuration(options, **({"scheduler.policy": "immediate"} if options.now else {}))
    output = options.output or config.artifacts_path / "runs" / "cli" / utc_now().strftime("%Y%m%dT%H%M%SZ")
    folder = RunFolder(output.resolve())
    folder.create()
    with closing(Display(quiet=options.json)) as display, advice_to_resume(folder, display):
        earlier = None if options.fresh else resumable(folder, config.values)
        result = train(config, folder, display, resumed=earlier)
    if isinstance(result, Decision):
        if options.json:
            print_json({"decision": result.as_json(), "record": None})
        return NOT_RUN
    if options.json:
        print_json(result.model_dump(mode="json"))
    else:
        _show(result, folder)
    return 0


def _show(record: TrainingRecord, folder: RunFolder) -> None:
    kinds = ", ".join(f"{share:.0%} {kind}" for kind, share in record.intensity_kinds.items())
    methods = ", ".join(f"{part} {method}" for part, method in record.energy_kwh.methods.items())
    mean = f"{record.mean_carbon_intensity_gco2eq_per_kwh:.0f} g/kWh"
    print(
        f"accuracy    {record.test_accuracy:.2%} on the test set, {record.samples:,} samples in {record.duration_s:.0f} s"
    )
    print(f"energy      {record.energy_kwh.total * 1000:.3f} Wh ({methods}; scope: {record.measuring_scope})")
    print(f"emissions   {record.emissions_gco2eq:.3f} gCO2eq at {mean} ({kinds})")
    if record.uncertainty and record.sci:
        low, high = record.uncertainty.emissions_low_gco2eq, record.uncertainty.emissions_high_gco2eq
        unit = record.sci.functional_unit.replace("1000_samples", "1,000 samples")
        sci = f"SCI {record.sci.gco2eq_per_unit:.3f} g per {unit}"
        print(f"            between {low:.3f} and {high:.3f} g by the methods' known errors; {sci}")
    print(f"memory      {record.peak_memory_bytes / 2**20:.0f} MiB ({record.peak_memory_kind})")
    print(f"record      {folder.record}")
