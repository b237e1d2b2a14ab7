"""``lowtide history``: import a grid's past from a file, and show what is known of it."""

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lowtide.cli.charts import Span, chart
from lowtide.cli.options import artifacts_root, print_json, timestamp
from lowtide.config.zones import Zone, find_zone
from lowtide.errors import ConfigurationError
from lowtide.grid.history import Coverage, HistoryKey, HistoryStore, stores_of_zone
from lowtide.grid.history_import import read_history_file
from lowtide.grid.series import IntensityCurve
from lowtide.records import EmissionFactorType, Reading, SignalType
from lowtide.timeutil import format_time, utc_now

EXAMPLES = """examples:
  lowtide history import DE_2023_hourly.csv --zone DE
  lowtide history import my_trace.csv.gz --zone GB --factors direct --source neso
  lowtide history show --zone GB
  lowtide history show --zone DE --start 2023-03-01T00:00Z --end 2023-03-08T00:00Z --json

files: a trace (timestamp, carbon_intensity_gco2eq_per_kwh) or the hourly CSV of the Electricity Maps portal, plain or gzip
environment: LOWTIDE_ARTIFACTS_ROOT (where artifacts go; default: the project's artifacts folder)
"""
CHART_SPAN = timedelta(days=7)
_SHOWN_GAPS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's two actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    importing = actions.add_parser("import", help="store the values of a file that are not known yet")
    add = importing.add_argument
    add("file", metavar="FILE", type=Path, help="CSV file, plain or gzip")
    factors = "a trace's emission factors (default lifecycle); of a portal's file: only these"
    add("--factors", choices=[factor_type.value for factor_type in EmissionFactorType], help=factors)
    add("--source", metavar="NAME", help="store under this source, e.g. neso (default: from the format)")
    add("--known-at", metavar="TIME", type=timestamp, help="when the values became known (default: now)")
    show = actions.add_parser("show", help="show coverage, gaps and a chart")
    show.add_argument("--start", metavar="TIME", type=timestamp, help="default: the first known value")
    show.add_argument("--end", metavar="TIME", type=timestamp, help="default: the last known value")
    show.add_argument("--source", metavar="NAME", help="only this source")
    for action in (importing, show):
        add = action.add_argument
        add("--zone", required=True, help="zone key, e.g. GB, DE, US-CAL-CISO")
        add("--connection", metavar="ID", help="the Airflow connection that the history belongs to (default: none)")
        add("--artifacts", metavar="DIR", type=Path, help="artifact root")
        # SUPPRESS: without it, the default here would undo a --json given before the action
        add("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    zone = find_zone(options.zone)
    root = artifacts_root(options.artifacts)
    (_import if options.action == "import" else _show)(options, zone, root)


def _import(options: argparse.Namespace, zone: Zone, root: Path) -> None:
    factor_type = EmissionFactorType(options.factors) if options.factors else None
    imported = read_history_file(options.file, zone, factor_type=factor_type, source=options.source)
    known_at = options.known_at or utc_now()
    results = []
    for found, readings in imported.items():
        key = HistoryKey(
            zone=zone.key,
            source=readings[0].source,
            connection=options.connection,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=found,
        )
        store = HistoryStore(root, key)
        new = store.add(readings, known_at)
        results.append({"key": key.as_json(), "path": str(store.folder), "values": len(readings), "new": new})
    if options.json:
        print_json(results)
        return
    for result in results:
        print(f"{result['new']} of {result['values']} values are new in {result['path']}")


def _show(options: argparse.Namespace, zone: Zone, root: Path) -> None:
    stores = [
        store
        for store in stores_of_zone(root, zone.key)
        if options.source in (None, store.key.source) and options.connection in (None, store.key.connection)
    ]
    if not stores:
        raise ConfigurationError(
            f"there is no history of zone {zone.key} under {root}; import a file, or let the DAG grid_history run"
        )
    if options.start and options.end and options.end <= options.start:
        raise ConfigurationError(f"--end {options.end.isoformat()} is not after --start; swap them")
    now = utc_now()
    spans = [_span(store, options.start, options.end, now) for store in stores]
    if options.json:
        print_json([_facts(store, *span) for store, span in zip(stores, spans, strict=True)])
    else:
        print("\n\n".join("\n".join(_lines(store, *span)) for store, span in zip(stores, spans, strict=True)))


def _span(store: HistoryStore, start: datetime | None, end: datetime | None, now: datetime) -> Span:
    """Return the span to show; by default all that is known, up to now: the future has no gaps."""
    known = store.span() or (now, now)
    start = start or known[0]
    return start, end or max(start, min(known[1], now))


def _facts(store: HistoryStore, start: datetime, end: datetime) -> dict[str, Any]:
    written = ("start", "end", "carbon_intensity_gco2eq_per_kwh", "kind")
    readings = (reading.as_json() for reading in store.known(start, end))
    return {
        "key": store.key.as_json(),
        "path": str(store.folder),
        "files": len(store.files()),
        "coverage": store.coverage(start, end).as_json(),
        "values": [{name: reading[name] for name in written} for reading in readings],
    }


def _lines(store: HistoryStore, start: datetime, end: datetime) -> list[str]:
    key, coverage = store.key, store.coverage(start, end)
    connection = f", connection {key.connection}" if key.connection else ""
    lines = [
        f"{key.zone} from {key.source}{connection}: {key.signal_type.value} signal,"
        f" {key.emission_factor_type.value} emission factors",
        f"  {store.folder}",
        f"  {format_time(coverage.start)} to {format_time(coverage.end)}: {coverage.actual_percent:.1f} % known,"
        f" {coverage.intervals:,} intervals in {len(store.files())} files",
        *_gaps(coverage),
    ]
    unreadable = sorted(store.unreadable_files.items())
    lines += [f"  unreadable file {name}: {reason}" for name, reason in unreadable]
    drawn = (max(start, end - CHART_SPAN), end)
    readings = store.known(*drawn) if start < end else ()
    return [*lines, *_chart(store, readings, drawn)] if readings else lines


def _gaps(coverage: Coverage) -> list[str]:
    hour = timedelta(hours=1)
    lines = [f"  {coverage.forecast_only / hour:g} h known from a forecast only"] if coverage.forecast_only else []
    lines += [
        f"  gap {format_time(start)} to {format_time(end)} ({(end - start) / hour:g} h)"
        for start, end in coverage.gaps[:_SHOWN_GAPS]
    ]
    more = len(coverage.gaps) - _SHOWN_GAPS
    return [*lines, *([f"  and {more} more gaps (--json lists all)"] if more > 0 else [])]


def _chart(store: HistoryStore, readings: Sequence[Reading], drawn: Span) -> list[str]:
    kinds = Counter(reading.kind.value for reading in readings)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    head = f"  gCO2eq/kWh, time of {store.timezone.key} ({counts}; · gap)"
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    return ["", head, *chart(IntensityCurve.from_readings(readings), drawn, store.timezone, width=width)]
