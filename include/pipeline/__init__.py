"""Composes scheduler, tracker and trainer, which do not know of one another, for the operators and the command line."""

from include.pipeline.beginning import Beginning, goes_on, last_checkpoint, new_training_id, unfinished
from include.pipeline.identity import comparison_key
from include.pipeline.pace import LogPace
from include.pipeline.progress import Progress
from include.pipeline.run_folder import RunFolder, report_folder
from include.pipeline.settling import SettledRun, settle_run
from include.pipeline.training import run_training
from include.pipeline.training_run import TrainingRun
from include.pipeline.waiting import MINIMUM_PAUSE_S, look, pause_s, wait_in_foreground

__all__ = [
    "MINIMUM_PAUSE_S",
    "Beginning",
    "LogPace",
    "Progress",
    "RunFolder",
    "SettledRun",
    "TrainingRun",
    "comparison_key",
    "goes_on",
    "last_checkpoint",
    "look",
    "new_training_id",
    "pause_s",
    "report_folder",
    "run_training",
    "settle_run",
    "unfinished",
    "wait_in_foreground",
]
