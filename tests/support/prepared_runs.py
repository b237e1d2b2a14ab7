"""A run that is ready to be trained, on a replayed grid."""

from pathlib import Path
from typing import Any

from lowtide.config.loader import load_config
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal, replay_anchor
from lowtide.runs.context import TrainingRun
from lowtide.runs.folder import RunFolder
from lowtide.timeutil import utc_now

from tests.support.config_files import write_config

LONG = {
    "training__model": {"path": "lowtide.trainer.models:mlp"},
    "training__epochs": 30,
    "training__checkpoint_steps": 25,
}
"""Changes for a run of 300 steps that saves its state every 25: long enough to be ended on the way."""


def prepared(folder: Path, **changes: Any) -> tuple[TrainingRun, IntensityClient]:
    """Return a run in ``folder/run``; ``changes`` are those of ``write_config``."""
    config = load_config(write_config(folder, **changes))
    anchor = replay_anchor(config.values.grid, utc_now())
    assert anchor is not None
    run = TrainingRun(
        config=config,
        run_id="test",
        folder=RunFolder(folder / "run"),
        submitted_at=anchor.virtual_start,
        anchor=anchor,
    )
    return run, open_signal(config.values.grid, anchor=anchor)
