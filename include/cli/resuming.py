"""``lowtide train`` on a folder that holds an unfinished training."""

from collections.abc import Iterator
from contextlib import contextmanager

from include.cli.access import open_from_environment
from include.cli.display import Display
from include.cli.foreground import Foreground
from include.config import LoadedConfig
from include.errors import TrainingError
from include.moments import format_moment, utc_now
from include.pipeline import Beginning, RunFolder, TrainingRun, last_checkpoint, unfinished
from include.pipeline.running.beginning import refuse_another_training
from include.pipeline.running.pauses import earlier_pauses
from include.records import TrainingRecord


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
