"""Writes the savings ledger of an artifact root where a dashboard, or a person, finds it."""

from datetime import datetime
from pathlib import Path

from include.config import ReportConfig
from include.files import write_atomically, write_json_atomically
from include.report.savings.export import cells_csv, runs_csv
from include.report.savings.ledger import SavingsQuery, savings_folder, savings_ledger
from include.report.savings.model import Savings


def refresh_savings(root: Path, *, settings: ReportConfig, now: datetime) -> tuple[Savings, dict[str, Path]]:
    """Write ``savings.json``, ``savings.csv`` and ``runs.csv`` of all runs, each whole or not at all.

    :return: the ledger, and the paths by file name.
    :raises ArtifactError: a file cannot be written.
    """
    savings = savings_ledger(root, SavingsQuery(), repeatability_percent=settings.repeatability_percent, now=now)
    folder = savings_folder(root)
    return savings, {
        "savings.csv": write_atomically(folder / "savings.csv", cells_csv(savings)),
        "runs.csv": write_atomically(folder / "runs.csv", runs_csv(savings)),
        "savings.json": write_json_atomically(folder / "savings.json", savings.model_dump_json(indent=2)),
    }
