"""``lowtide settle``: value a run again where the grid's actual figures have arrived."""

import argparse
from pathlib import Path
from typing import Any

from lowtide.cli.options import artifacts_root, open_from_environment, print_json
from lowtide.config.loader import load_config
from lowtide.config.schema import GridConfig
from lowtide.errors import ArtifactError
from lowtide.records import AnyRecord, FirstValuation, IncompleteRecord
from lowtide.runs.account import Facts, account_of
from lowtide.runs.folder import RunFolder
from lowtide.runs.settlement import ActualFigures, SettledRun, check_same_grid, history_of, settle_run
from lowtide.timeutil import utc_now
from lowtide.units import change_text, grams_text, percent_text, relative_change_percent

EXAMPLES = """examples:
  lowtide settle artifacts/runs/mine
  lowtide settle artifacts/runs/mine --offline          (the stored history only)
  lowtide settle artifacts/runs/old --config include/configs/optimized.yaml --json

Nothing is rewritten: better figures are appended to `intensity.jsonl`, and `record.json` and `emissions.csv` are derived
again. What was known when the run ended is the record's `first_valuation`.
environment: LOWTIDE_GRID_URL, LOWTIDE_GRID_TOKEN, LOWTIDE_GRID_LOGIN (address, token or password, and login for the provider),
             LOWTIDE_ARTIFACTS_ROOT (where the history is; default: the project's artifacts folder)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_folder", metavar="DIR", type=Path, help="the run's folder")
    config = "whose grid is asked (default: the one that the ledger names)"
    parser.add_argument("--config", metavar="CONFIG", help=config)
    parser.add_argument("--artifacts", metavar="DIR", type=Path, help="artifact root with the grid's history")
    parser.add_argument("--offline", action="store_true", help="use the stored history only, ask no provider")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    folder = RunFolder(options.run_folder.resolve())
    if not folder.path.is_dir():
        raise ArtifactError(f"{options.run_folder}: there is no such folder; give the folder of a run")
    account = account_of(folder)
    actuals = ActualFigures(now=utc_now()) if account.replay else _actuals(options, folder, account)
    done = settle_run(folder, actuals, now=actuals.now)
    if options.json:
        print_json(_as_json(done, actuals.notes))
    else:
        _show(done, actuals.notes)


def _actuals(options: argparse.Namespace, folder: RunFolder, account: AnyRecord) -> ActualFigures:
    grid: GridConfig = load_config(Path(options.config)).values.grid if options.config else Facts(folder).grid
    now = utc_now()
    signal, _ = open_from_environment(grid, now)
    check_same_grid(account, grid, signal)
    history = history_of(signal, artifacts_root(options.artifacts), grid.connection)
    return ActualFigures(now=now, history=history, signal=None if options.offline else signal)


def _as_json(done: SettledRun, notes: list[str]) -> dict[str, Any]:
    figures = {"emissions_gco2eq", "mean_carbon_intensity_gco2eq_per_kwh", "intensity_kinds"}
    return {
        "run_id": done.after.run_id,
        "changed": done.changed,
        "complete": not isinstance(done.after, IncompleteRecord),
        "first_valuation": done.after.first_valuation.model_dump(mode="json", include=figures),
        "settled": done.after.model_dump(mode="json", include=figures),
        "settled_energy_share": done.after.settlement.settled_energy_share if done.after.settlement else 0.0,
        "unsettled_energy_share": done.unsettled_energy_share,
        "record": str(done.folder.record),
        "notes": notes,
    }


def _show(done: SettledRun, notes: list[str]) -> None:
    first, after = done.after.first_valuation, done.after
    if isinstance(after, IncompleteRecord):
        missing = f": {'; '.join(after.problems)}" if after.problems else ""
        print(f"run         {after.run_id} did not finish; recovered from its ledger{missing}")
    print(f"first       {grams_text(first.emissions_gco2eq)} ({_kinds(first)})")
    change = relative_change_percent(after.emissions_gco2eq, first.emissions_gco2eq)
    print(f"now         {grams_text(after.emissions_gco2eq)} ({_kinds(after)}), {change_text(change)}")
    print(f"settled     {_sentence(done)}")
    for note in notes:
        print(f"note        {note}")
    print(f"record      {done.folder.record}")


def _kinds(account: FirstValuation | AnyRecord) -> str:
    return ", ".join(f"{percent_text(100 * share)} {kind.value}" for kind, share in account.intensity_kinds.items())


def _sentence(done: SettledRun) -> str:
    if done.after.replay is not None:
        return "nothing: the run was replayed, and no grid ever had these figures"
    left = percent_text(100 * done.unsettled_energy_share)
    if not done.changed:
        return f"nothing new; {left} of the energy is not at actual figures"
    sources = ", ".join(done.after.settlement.sources) if done.after.settlement else ""
    return f"at actual figures of {sources}; {left} of the energy still is not"
