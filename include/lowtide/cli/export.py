"""``lowtide export``: runs in formats that others read."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from lowtide.errors import ArtifactError, ConfigurationError
from lowtide.io import write_atomically
from lowtide.records import AnyRecord, IncompleteRecord
from lowtide.report.data_quality import missing_emissions_text
from lowtide.report.export import TrainingType, csv_text, json_text, model_card_text
from lowtide.runs.account import account_of
from lowtide.runs.folder import RunFolder

EXAMPLES = """examples:
  lowtide export artifacts/runs/mine --format csv
  lowtide export artifacts/runs/*/* --format codecarbon --output emissions.csv
  lowtide export artifacts/runs/mine --format huggingface --training-type fine-tuning
  lowtide export artifacts/runs/mine --format json

csv has CodeCarbon's columns and Lowtide's; codecarbon has CodeCarbon's only, so that CodeCarbon can append to the file.
A run that was killed is recovered from its ledger; the column `complete` and the JSON's `complete` say so.
"""
FORMATS = ("csv", "codecarbon", "huggingface", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("run_folders", metavar="DIR", nargs="+", type=Path, help="folders of runs")
    add("--format", choices=FORMATS, default="csv", help="default: csv")
    add("--output", metavar="FILE", type=Path, help="default: standard output")
    add("--project", metavar="NAME", default="lowtide", help="project_name in the CSV (default: lowtide)")
    kinds = get_args(TrainingType)
    add("--training-type", choices=kinds, default=kinds[0], help=f"for the model card (default: {kinds[0]})")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    text = _text(options)
    if options.output:
        print(write_atomically(options.output.resolve(), text))
    else:
        sys.stdout.write(text)


def _text(options: argparse.Namespace) -> str:
    for folder in options.run_folders:
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no such folder; give folders of runs")
    accounts = [account_of(RunFolder(folder.resolve())) for folder in options.run_folders]
    if options.json or options.format == "json":
        return json_text(accounts)
    if options.format == "huggingface":
        if len(accounts) > 1:
            raise ConfigurationError("a model card describes one training; give one folder")
        return model_card_text(accounts[0], training_type=options.training_type)
    if options.format == "codecarbon":
        _warn_if_incomplete(accounts)
    return csv_text(accounts, project_name=options.project, codecarbon_only=options.format == "codecarbon")


def _warn_if_incomplete(accounts: list[AnyRecord]) -> None:
    # CodeCarbon's columns cannot say it, and the figures would be taken for complete
    for account in accounts:
        missing = missing_emissions_text(account)
        if isinstance(account, IncompleteRecord) or not account.energy_complete or missing:
            what = "emissions are" if missing else "energy is"
            print(
                f"lowtide: run {account.run_id}: {what} missing from its figures, and CodeCarbon's columns cannot say so;"
                f" leave it out, or use --format csv: {'; '.join([*filter(None, [missing]), *account.problems])}",
                file=sys.stderr,
            )
