"""``lowtide history``: bring a history in from a file, and look at what there is."""

import argparse
from datetime import datetime
from pathlib import Path

from include.cli.history_view import show_stores
from include.cli.places import artifacts_root
from include.cli.printing import print_json
from include.config import Zone, find_zone
from include.errors import ConfigurationError
from include.moments import parse_moment, utc_now
from include.records import EmissionFactorType, SignalType
from include.scheduler.history import HistoryKey, HistoryStore, open_history, read_history_file, stores_of_zone

NAME = "history"
HELP = "keep and show what is known of a grid's past: import a file, show coverage, gaps and a chart"
EXAMPLES = """examples:
  lowtide history import DE_2023_hourly.csv --zone DE
  lowtide history import my_trace.csv.gz --zone GB --factors direct --source neso
  lowtide history show --zone GB
  lowtide history show --zone DE --start 2023-03-01T00:00Z --end 2023-03-08T00:00Z --json

files: a trace (timestamp, carbon_intensity_gco2eq_per_kwh) or the hourly CSV of the Electricity Maps portal, plain or gzip
environment: LOWTIDE_ARTIFACTS_ROOT (where artifacts go; default: the project's artifacts folder)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's two actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    bring = actions.add_parser("import", help="store the values of a file; what is known already is not stored again")
    bring.add_argument("file", metavar="FILE", type=Path, help="CSV file, plain or gzip")
    factors = [factor_type.value for factor_type in EmissionFactorType]
    bring.add_argument(
        "--factors",
        choices=factors,
        help="a trace's emission factors (default lifecycle); of a portal's file: only these",
    )
    bring.add_argument("--source", metavar="NAME", help="store under this source, e.g. neso (default: from the format)")
    bring.add_argument(
        "--known-at", metavar="MOMENT", type=_moment, help="when the values were learnt (default: now, in UTC)"
    )
    show = actions.add_parser("show", help="show coverage, gaps and a chart")
    show.add_argument("--start", metavar="MOMENT", type=_moment, help="default: the beginning of what is known")
    show.add_argument("--end", metavar="MOMENT", type=_moment, help="default: the end of what is known")
    show.add_argument("--source", metavar="NAME", help="only this source")
    for action in (bring, show):
        action.add_argument("--zone", required=True, help="zone key, e.g. GB, DE, US-CAL-CISO")
        action.add_argument("--connection", metavar="ID", help="the connection whose history is meant (default: none)")
        action.add_argument("--artifacts", metavar="DIR", type=Path, help="artifact root")
        # SUPPRESS: without it, the default here would undo a --json given before the action
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    zone = find_zone(options.zone)
    root = artifacts_root(options.artifacts)
    return _import(options, zone, root) if options.action == "import" else _show(options, zone, root)


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a moment with an offset; write e.g. 2026-03-01T06:00Z") from None


def _import(options: argparse.Namespace, zone: Zone, root: Path) -> int:
    factor_type = EmissionFactorType(options.factors) if options.factors else None
    imported = read_history_file(options.file, zone, factor_type=factor_type, source=options.source)
    known_at = options.known_at or utc_now()
    results = []
    for found, readings in imported.by_factor_type():
        key = HistoryKey(
            zone=zone.key,
            source=imported.source,
            connection=options.connection,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=found,
        )
        store = open_history(root, key)
        new = store.add(readings, known_at)
        results.append({"key": key.as_json(), "path": str(store.folder), "values": len(readings), "new": new})
    if options.json:
        print_json(results)
    for result in () if options.json else results:
        print(f"{result['new']} of {result['values']} values are new in {result['path']}")
    return 0


def _show(options: argparse.Namespace, zone: Zone, root: Path) -> int:
    stores = [store for store in stores_of_zone(root, zone.key) if _wanted(store, options)]
    if not stores:
        raise ConfigurationError(
            f"there is no history of zone {zone.key} under {root}; import a file, or let the DAG grid_history run"
        )
    if options.start and options.end and options.end <= options.start:
        raise ConfigurationError(f"--end {options.end.isoformat()} is not after --start; swap them")
    show_stores(stores, (options.start, options.end), now=utc_now(), as_json=options.json)
    return 0


def _wanted(store: HistoryStore, options: argparse.Namespace) -> bool:
    key = store.key
    return options.source in (None, key.source) and (options.connection in (None, key.connection))
