"""The savings as rows of plain text for a terminal and a task's log, and as CSV for spreadsheets."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from lowtide import units
from lowtide.report.savings_model import Figures, Group, Part, Savings, SavingsRun
from lowtide.report.text import plain
from lowtide.timeutil import format_time

# As CSV: text that a spreadsheet would take for a formula is made plain text. A sum is in no file: lines of different bases
# must not be added up, and a pivot of one basis does the rest.


_GROUP = ("basis", "signal_type", "emission_factor_type")
_FORMULA = re.compile(r"(^|[;,]\s*[\"']*)(?=[=+\-@＝＋－＠])")
"""Before what spreadsheets evaluate: at the start, or after what they may take for a separator; also in full width."""


def cells_csv(savings: Savings) -> str:
    """Return one line for each model in each month of each group."""
    rows = [
        {**group.model_dump(include=set(_GROUP)), "month": part.month, "model": part.model, **part.figures.model_dump()}
        for group in savings.groups
        for part in group.cells
    ]
    return _csv((*_GROUP, "month", "model", *Figures.model_fields), rows)


def runs_csv(savings: Savings) -> str:
    """Return one line for each run, also for those that are in no sum; ``left_out`` says why."""
    rows = [run.model_dump() for run in savings.runs]
    rows += [{**out.model_dump(), "left_out": out.reason, "ended_at": out.last_change} for out in savings.left_out]
    return _csv((*SavingsRun.model_fields, "left_out"), rows)


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return what a cell holds; what is not known is empty, never a zero."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1'", plain(value))


# As rows of plain text.


HEADER = ("", "runs", "energy", "emissions", "avoided by waiting", "avoided by efficiency", "waits", "deadlines missed")
Row = tuple[str, ...]

_TITLES = {
    "measured": "Measured",
    "estimated_energy": "Energy partly estimated (TDP, constants): the grams' level is uncertain",
    "simulated": "Simulated: nothing here was avoided on a real grid",
}


def title(group: Group) -> str:
    """Return a group's name, with what its grams mean."""
    scopes = ", ".join(f"{scope} ({runs})" for scope, runs in group.measuring_scopes.items())
    return f"{_TITLES[group.basis]} ({group.signal_type} signal, {group.emission_factor_type} factors; measured over: {scopes})"


def rows(group: Group) -> list[Row]:
    """Return the group's months, its models, and its total."""
    parts = [*group.by_month, *group.by_model, Part(month=None, model=None, figures=group.total)]
    return [(plain(part.month or part.model or "total"), *_cells(part.figures)) for part in parts]


def remarks(group: Group) -> Iterator[str]:
    """Yield what a reader of the total must know."""
    total = group.total
    if total.emissions_low_gco2eq is not None and total.emissions_high_gco2eq is not None:
        low, high = units.grams_text(total.emissions_low_gco2eq), units.grams_text(total.emissions_high_gco2eq)
        yield f"emissions are between {low} and {high} by the methods' known errors"
    if total.avoided_by_waiting_low_gco2eq is not None and total.avoided_by_waiting_high_gco2eq is not None:
        low = units.grams_text(total.avoided_by_waiting_low_gco2eq)
        high = units.grams_text(total.avoided_by_waiting_high_gco2eq)
        yield f"avoided by waiting is between {low} and {high} by the meters' known errors"
    if total.unsettled_gco2eq:
        yield f"{units.grams_text(total.unsettled_gco2eq)} are valued at forecasts or cached readings, not yet settled"
    yield from _counts(total)


def left_out(savings: Savings) -> list[str]:
    """Return the runs that are in no sum, one line each."""
    return [f"{plain(out.folder)}: {plain(out.reason)}" for out in savings.left_out]


def repeatability_remarks(savings: Savings, default_percent: float) -> Iterator[str]:
    """Yield the repeatability within which a change of energy per sample is not measurable, where it is not the default."""
    if savings.repeatability_percent is not None:
        yield f"a change of energy per sample within {savings.repeatability_percent:g} % is not measurable, in every run"
        return
    own = Counter(run.repeatability_percent for run in savings.runs if run.repeatability_percent is not None)
    for percent, runs in sorted(own.items()):
        if percent != default_percent:
            whose = f"in {runs} {'run' if runs == 1 else 'runs'}, by the configuration that the report was written with"
            yield f"a change of energy per sample within {percent:g} % is not measurable {whose}"


def _counts(total: Figures) -> Iterator[str]:
    counts = (
        (total.runs_with_missing_energy, "with energy missing: their figures are lower bounds"),
        (total.unfinished_runs, "did not finish: their energy counts"),
        (total.superseded_runs, "were trained again since: their energy counts, their savings do not"),
        (total.waits_unknown, "whose decisions were not kept: whether they waited is not known"),
    )
    yield from (f"{count} {'run' if count == 1 else 'runs'} {what}" for count, what in counts if count)


def _cells(sums: Figures) -> Row:
    return (
        str(sums.runs),
        units.energy_text(sums.energy_kwh),
        units.grams_text(sums.emissions_gco2eq),
        _avoided(sums.avoided_by_waiting_gco2eq, sums.runs_with_waiting),
        _avoided(sums.avoided_by_efficiency_gco2eq, sums.runs_with_efficiency),
        f"{sums.waits} ({sums.wait_h + sums.paused_h:.1f} h)",
        f"{sums.deadlines_missed} of {sums.deadlines}",
    )


def _avoided(value_gco2eq: float | None, runs: int) -> str:
    return "none counted" if value_gco2eq is None else f"{units.grams_text(value_gco2eq)} in {runs}"
