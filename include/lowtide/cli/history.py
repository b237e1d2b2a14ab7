"""``lowtide history``: bring a history in from a file, and look at what there is."""

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.cli.charts import chart
from lowtide.cli.common import artifacts_root, print_json
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import ConfigurationError
from lowtide.grid.history import Coverage, HistoryKey, HistoryStore, open_history, stores_of_zone
from lowtide.grid.history_import import read_history_file
from lowtide.records import EmissionFactorType, IntensityKind, Reading, SignalType
from lowtide.timeutil import format_moment, parse_moment, utc_now

# What ``lowtide history show`` prints.


CHART_SPAN = timedelta(days=7)
_SHOWN_GAPS = 10
Limits = tuple[datetime | None, datetime | None]


def show_stores(stores: Sequence[HistoryStore], limits: Limits, *, now: datetime, as_json: bool) -> None:
    """Print each store's coverage, gaps and a chart, or all of it as JSON.

    :param limits: the span to look at; None is where the store's knowledge begins, or ends (at most now: gaps of the
        future are none).
    """
    views = [_view(store, limits, now) for store in stores]
    if as_json:
        print_json([view for view, _ in views])
        return
    for number, (_, lines) in enumerate(views):
        print("\n" * bool(number) + "\n".join(lines))


def _view(store: HistoryStore, limits: Limits, now: datetime) -> tuple[dict[str, Any], list[str]]:
    known = store.span()
    start = limits[0] or (known[0] if known else now)
    end = limits[1] or max(start, min(known[1], now) if known else now)
    coverage = store.coverage(start, end)
    drawn = (max(start, end - CHART_SPAN), end)
    readings = store.known_now(*drawn) if start < end else ()
    values = [
        {
            "start": format_moment(r.start),
            "end": format_moment(r.end),
            "carbon_intensity_gco2eq_per_kwh": r.carbon_intensity_gco2eq_per_kwh,
            "kind": r.kind.value,
        }
        for r in store.known_now(start, end)
    ]
    facts = {
        "key": store.key.as_json(),
        "path": str(store.folder),
        "files": store.files(),
        "coverage": coverage.as_json(),
        "values": values,
    }
    return facts, [*_words(store, coverage), *_chart(store, readings, drawn)]


def _words(store: HistoryStore, coverage: Coverage) -> list[str]:
    key = store.key
    connection = f", connection {key.connection}" if key.connection else ""
    lines = [
        f"{key.zone} from {key.source}{connection}: {key.signal_type.value} signal,"
        f" {key.emission_factor_type.value} emission factors",
        f"  {store.folder}",
        f"  {format_moment(coverage.start)} to {format_moment(coverage.end)}: {coverage.actual_percent:.1f} % known,"
        f" {coverage.intervals:,} intervals in {store.files()} files",
    ]
    if coverage.forecast_only:
        lines.append(f"  {coverage.forecast_only / timedelta(hours=1):g} h known from a forecast only")
    lines += [
        f"  gap {format_moment(start)} to {format_moment(end)} ({(end - start) / timedelta(hours=1):g} h)"
        for start, end in coverage.gaps[:_SHOWN_GAPS]
    ]
    if len(coverage.gaps) > _SHOWN_GAPS:
        lines.append(f"  and {len(coverage.gaps) - _SHOWN_GAPS} more gaps (--json lists all)")
    unreadable = store.unreadable_files
    return [*lines, *(f"  unreadable file {name}: {reason}" for name, reason in sorted(unreadable.items()))]


def _chart(store: HistoryStore, readings: Sequence[Reading], drawn: tuple[datetime, datetime]) -> list[str]:
    if not readings:
        return []
    kinds = Counter(reading.kind for reading in readings)
    told = ", ".join(f"{count} {kind.value}" for kind, count in sorted(kinds.items()))
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    forecast = "; ░ forecast only" if IntensityKind.FORECAST in kinds else ""
    head = f"  gCO2eq/kWh, time of {store.timezone.key} ({told}; · gap{forecast})"
    return ["", head, *chart(readings, drawn, store.timezone, width=width)]


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
