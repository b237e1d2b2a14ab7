"""What ``lowtide history show`` prints."""

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from include.cli.chart import chart
from include.cli.printing import print_json
from include.moments import format_moment
from include.records import IntensityKind, Reading
from include.scheduler.history import Coverage, HistoryStore

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
        "parts": store.parts(),
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
        f" {coverage.intervals:,} intervals in {store.parts()} parts",
    ]
    if coverage.forecast_only:
        lines.append(f"  {coverage.forecast_only / timedelta(hours=1):g} h known from a forecast only")
    lines += [
        f"  gap {format_moment(start)} to {format_moment(end)} ({(end - start) / timedelta(hours=1):g} h)"
        for start, end in coverage.gaps[:_SHOWN_GAPS]
    ]
    if len(coverage.gaps) > _SHOWN_GAPS:
        lines.append(f"  and {len(coverage.gaps) - _SHOWN_GAPS} more gaps (--json lists all)")
    unreadable = store.unreadable_parts
    return [*lines, *(f"  unreadable part {name}: {reason}" for name, reason in sorted(unreadable.items()))]


def _chart(store: HistoryStore, readings: Sequence[Reading], drawn: tuple[datetime, datetime]) -> list[str]:
    if not readings:
        return []
    kinds = Counter(reading.kind for reading in readings)
    told = ", ".join(f"{count} {kind.value}" for kind, count in sorted(kinds.items()))
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    forecast = "; ░ forecast only" if IntensityKind.FORECAST in kinds else ""
    head = f"  gCO2eq/kWh, time of {store.timezone.key} ({told}; · gap{forecast})"
    return ["", head, *chart(readings, drawn, store.timezone, width=width)]
