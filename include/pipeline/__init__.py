"""Composes scheduler, tracker and trainer, which do not know of one another, for the operators and the command line."""

from include.pipeline.identity import comparison_key
from include.pipeline.run_folder import RunFolder, report_folder
from include.pipeline.running.beginning import Beginning, goes_on, last_checkpoint, new_training_id, unfinished
from include.pipeline.running.pace import LogPace
from include.pipeline.running.progress import Progress
from include.pipeline.running.training import run_training
from include.pipeline.running.training_run import TrainingRun
from include.pipeline.settling.run import SettledRun, settle_run
from include.pipeline.waiting.foreground import MINIMUM_PAUSE_S, look, pause_s, wait_in_foreground

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
