"""``lowtide train``: wait as the configuration says, train, leave a record and a ledger."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from include.cli.access import open_from_environment
from include.cli.display import Display
from include.cli.foreground import Foreground
from include.cli.printing import print_json
from include.cli.resuming import go_on, told_how_to_go_on
from include.config import LoadedConfig, configuration_files, load_config, parse_setting
from include.config.params import CONFIGS_FOLDER
from include.moments import utc_now
from include.pipeline import (
    RunFolder,
    TrainingRun,
    goes_on,
    new_training_id,
)
from include.records import SciScore, TrainingRecord
from include.scheduler import Action, Decision

NAME = "train"
HELP = "wait until the policy says run, train under measurement, write record.json and ledger.jsonl"
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
