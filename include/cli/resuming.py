"""``lowtide train`` on a folder that holds an unfinished training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from include.cli.access import open_from_environment
from include.cli.display import Display
from include.config import LoadedConfig
from include.errors import TrainingError
from include.moments import format_moment, utc_now
from include.pipeline import Beginning, RunFolder, TrainingRun, last_checkpoint, unfinished, wait_in_foreground
from include.pipeline.durations import expected_duration
from include.pipeline.pausing import train_with_pauses
from include.pipeline.telling import Looked
from include.records import TrainingRecord
from include.scheduler import Decision, Job, clock_for, job_from_config


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
    found = last_checkpoint(folder)
    start = f"from optimizer step {found.optimizer_step}" if found else "from the beginning: nothing had been saved"
    submitted = format_moment(earlier.submitted_at)
    display.say(f"going on with the unfinished run {earlier.run_id}, submitted at {submitted}, {start}")
    run = TrainingRun(
        config=config, run_id=earlier.run_id, folder=folder, submitted_at=earlier.submitted_at, anchor=anchor
    )
    job = job_from_config(config.values, job_id=folder.path.name, submitted_at=earlier.submitted_at)
    job = replace(job, expected_duration=expected_duration(config.values, config.artifacts_path).duration)
    clock = clock_for(anchor)

    def keep(looked: Looked) -> None:
        folder.append_decisions([looked.decision.as_json()])
        display.look(looked)

    def wait(paused: Job) -> Decision:
        return wait_in_foreground(paused, signal, clock, on_look=keep, sleep=display.sleep)

    return train_with_pauses(run, job, signal, clock, on_look=keep, on_progress=display.training, wait=wait)
