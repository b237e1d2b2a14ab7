"""Says where a grid's provider had no figure for a run's energy and a typical one stood in: kinds and sources alone are easily missed."""

import math
from collections.abc import Iterator, Sequence

from include.moments import format_moment
from include.records import IntensityKind, LedgerEvent, LedgerEventKind, LedgerRow
from include.tracker import LedgerContents

_MODELLED_ANYWAY = ("profile", "replay")


def stand_in_problems(contents: LedgerContents) -> list[str]:
    """Return one sentence for each live provider that rows had to do without.

    From the rows as they are in the ledger, so over all attempts. A grid that is a profile or a replay by configuration has none.
    """
    asked = {event.attempt: provider for event in contents.events if (provider := _live_provider(event))}
    total_kwh = math.fsum(row.energy_kwh for row in contents.rows)
    without = [row for row in contents.rows if row.intensity_kind is IntensityKind.MODELLED and row.attempt in asked]
    return list(_sentences(without, asked, of=len(contents.rows), total_kwh=total_kwh))


def _live_provider(event: LedgerEvent) -> str | None:
    grid = event.details.get("grid")
    if event.event is not LedgerEventKind.OPENED or not isinstance(grid, dict):
        return None
    provider = grid.get("provider")
    return provider if isinstance(provider, str) and provider not in _MODELLED_ANYWAY else None


def _sentences(without: Sequence[LedgerRow], asked: dict[int, str], *, of: int, total_kwh: float) -> Iterator[str]:
    for provider in sorted({asked[row.attempt] for row in without}):
        rows = [row for row in without if asked[row.attempt] == provider]
        kwh = math.fsum(row.energy_kwh for row in rows)
        share = f", {100 * kwh / total_kwh:.1f} % of the energy" if total_kwh > 0 else ""
        instead = ", ".join(sorted({row.intensity_source for row in rows}))
        yield (
            f"{provider} had no usable figure for {len(rows)} of {of} rows between {format_moment(rows[0].start)} and"
            f" {format_moment(rows[-1].end)}{share}; they were first booked at typical figures instead ({instead})"
        )
