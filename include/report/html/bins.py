"""Fewer points than rows: bins of time that together hold exactly what the rows hold."""

from dataclasses import dataclass, replace

import numpy as np

from include.report.html.ledger_columns import Floats, LedgerColumns

_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Per bin: energy in kWh before PUE, grams, and seconds that rows cover; ``edges_s`` has one entry more."""

    edges_s: Floats
    energy_kwh: Floats
    emissions_gco2eq: Floats
    covered_s: Floats

    @property
    def power_w(self) -> Floats:
        """Mean power while rows cover the bin; NaN where none does."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.covered_s > 0, 3.6e6 * self.energy_kwh / self.covered_s, np.nan)

    @property
    def cumulative_gco2eq(self) -> Floats:
        """Grams until each edge."""
        return np.concatenate(([0.0], np.cumsum(self.emissions_gco2eq)))


def nice_width_s(span_s: float, most: int) -> float:
    """Return the shortest width, in seconds, that people count in and of which so many cover a span at most."""
    wanted = span_s / most
    for width in _WIDTHS_S:
        if width >= wanted:
            return float(width)
    return float(86_400 * np.ceil(wanted / 86_400))


def edges_of(begin_s: float, end_s: float, width_s: float) -> Floats:
    """Return whole multiples of a width that enclose a span; at least one bin."""
    first = np.floor(begin_s / width_s)
    last = max(np.ceil(end_s / width_s), first + 1)
    return width_s * np.arange(first, last + 1)


def binned(rows: LedgerColumns, edges_s: Floats) -> Bins:
    """Return what the rows hold between edges that enclose them.

    A row that meets an edge is divided by time. What is in the bins is read from the cumulative curves at the edges, so
    the bins' sum is the rows' sum, whatever the width.
    """
    moments = np.empty(2 * len(rows))
    moments[0::2], moments[1::2] = rows.start_s, rows.end_s
    moments = np.maximum.accumulate(moments)  # a clock that was set must not make the curve run backwards
    energy, grams, covered = (
        np.diff(np.interp(edges_s, moments, _rising(amounts)))
        for amounts in (rows.energy_kwh, rows.emissions_gco2eq, rows.end_s - rows.start_s)
    )
    return Bins(edges_s=edges_s, energy_kwh=energy, emissions_gco2eq=grams, covered_s=covered)


def since_start(rows: LedgerColumns, speed: float) -> LedgerColumns:
    """Return the rows in real seconds since the first of them began.

    :param speed: seconds of the rows' time in a real second; a replayed run's power would else be that much too low.
    """
    begin = rows.start_s[0]
    return replace(rows, start_s=(rows.start_s - begin) / speed, end_s=(rows.end_s - begin) / speed)


def _rising(amounts: Floats) -> Floats:
    """Return the running sum at the rows' starts and ends: it rises along each row and is flat between two."""
    return np.concatenate(([0.0], np.repeat(np.cumsum(amounts), 2)))[:-1]
