"""The savings ledger as CSV, for spreadsheets: text that a spreadsheet would take for a formula is made plain text.

A sum is in no file: lines of different bases must not be added up, and a pivot of one basis does the rest.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from include.moments import format_moment
from include.report.savings.model import Figures, Group, Savings, SavingsRun
from include.report.text.escape import plain

_GROUP = ("basis", "signal_type", "emission_factor_type")
_FORMULA = re.compile(r"(^|[;,]\s*[\"']*)(?=[=+\-@＝＋－＠])")
"""Before what spreadsheets evaluate: at the start, or after what they may take for a separator; also in full width."""


def cells_csv(savings: Savings) -> str:
    """Return one line for each model in each month of each group."""
    rows = [
        {**_names(group), "month": part.month, "model": part.model, **part.figures.model_dump()}
        for group in savings.groups
        for part in group.cells
    ]
    return _csv((*_GROUP, "month", "model", *Figures.model_fields), rows)


def runs_csv(savings: Savings) -> str:
    """Return one line for each run, also for those that are in no sum; ``left_out`` says why."""
    rows = [run.model_dump() for run in savings.runs]
    rows += [{**out.model_dump(), "left_out": out.reason, "ended_at": out.last_change} for out in savings.left_out]
    return _csv((*SavingsRun.model_fields, "left_out"), rows)


def _names(group: Group) -> dict[str, str]:
    return {name: getattr(group, name) for name in _GROUP}


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return what a cell holds; what is not known is empty, never a zero."""
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1'", plain(value))
