"""The rendered report: golden pages, hostile names, units.

LOWTIDE_UPDATE_GOLDEN=1 rewrites the golden files; read the difference before committing it.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide import units
from lowtide.report.text import markdown, plain, render_markdown, render_table

from tests.support.comparisons import compared, golden_reports, waiting_run
from tests.support.records import make_record

GOLDEN = Path(__file__).with_name("golden")
CASES = golden_reports()


@pytest.mark.parametrize("case", CASES)
def test_the_report_is_the_golden_one(case: str) -> None:
    written = {
        GOLDEN / f"{case}.md": render_markdown(CASES[case]),
        GOLDEN / f"{case}.json": CASES[case].model_dump_json(indent=2) + "\n",
    }
    for path, text in written.items():
        if os.environ.get("LOWTIDE_UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
    assert (GOLDEN / f"{case}.md").read_text(encoding="utf-8") == render_markdown(CASES[case])
    golden = json.loads((GOLDEN / f"{case}.json").read_text(encoding="utf-8"))
    assert _rounded(golden) == _rounded(json.loads(CASES[case].model_dump_json()))


def _rounded(value: object) -> object:
    """Leave the last digits out: another C library rounds a logarithm differently."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def test_a_worse_result_gets_the_same_place_and_size_as_a_better_one() -> None:
    better, worse = (render_markdown(CASES[case]).splitlines()[2] for case in ("lower", "higher"))
    assert better.startswith("**Waiting and efficiency made emissions 50.1 % lower")
    assert worse.startswith("**Waiting and efficiency made emissions 78.5 % higher")


def test_the_table_has_a_row_of_four_for_every_figure() -> None:
    rows = {row[0]: row[1:] for row in render_table(CASES["lower"])}
    assert rows["Emissions"] == ("1.64 g", "0.737 g", "-55.1 %")
    assert rows["Energy"] == ("8.20 Wh", "6.70 Wh", "-18.3 %")
    assert rows["Test accuracy"] == ("98.50 %", "98.62 %", "+0.12 points")
    assert rows["From submission to start"] == ("0 s", "3 h 20 min", "")
    assert all(row[1] == "-" for row in render_table(CASES["no_baseline"]))


def test_the_tables_intensity_is_the_grids_without_the_sites_pue() -> None:
    rows = {row[0]: row[1:] for row in render_table(compared(make_record(pue=2.0), make_record(pue=1.0)))}
    assert rows["Mean carbon intensity"] == ("200 g/kWh", "200 g/kWh", "0.0 %")
    assert rows["Emissions"] == ("3.28 g", "1.64 g", "-50.0 %")


def test_the_sources_section_names_kinds_methods_and_both_ledgers() -> None:
    page = render_markdown(CASES["lower"])
    sources = page[page.index("## Sources") :]
    for text in ("Intensity: measured 100.0 %", "CPU 2.00 Wh (rapl)", "GPU 4.50 Wh (nvml)", "b" * 64, "d" * 64):
        assert text in sources
    assert "artifacts/runs/scheduled__2026-03-02/ledger.jsonl" in sources


HOSTILE = "evil | <script>alert(1)</script>\n## [click](javascript:x) `code` \u202egnp.exe \x1b[31mred"


@pytest.mark.parametrize("field", ["run_id", "device", "device_name", "policy", "configuration", "ledger_path", "zone"])
def test_a_hostile_name_stays_text(field: str) -> None:
    page = render_markdown(compared(make_record(), waiting_run(**{field: HOSTILE})))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert r"\[click\](javascript:x)" in page
    assert "\n## [click]" not in page
    for line in page.splitlines():
        if line.startswith("| ") and "evil" in line:
            assert line.replace(r"\|", "").count("|") in (5, 6)  # still four cells, or five of a difference


def test_a_hostile_name_cannot_steer_a_terminal() -> None:
    cells = "".join("".join(row) for row in render_table(compared(None, waiting_run(device_name=HOSTILE))))
    assert "\x1b" not in cells
    assert "\n" not in cells


@given(st.text())
def test_escaped_text_is_one_line_without_open_markup(text: str) -> None:
    escaped = markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert "<" not in escaped
    bare = escaped.replace("\\\\", "")
    assert all(f"\\{c}" in bare or c not in bare for c in "|[]`*")
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("__init__", r"\_\_init\_\_"),
        ("_a_", r"\_a\_"),
        ("scheduled__2026_1", "scheduled__2026_1"),
        ("see https://evil.example/x", r"see https:\//evil.example/x"),
        ("WWW.evil.example", r"WWW\.evil.example"),
    ],
)
def test_a_name_becomes_neither_emphasis_nor_a_link(text: str, shown: str) -> None:
    """GitHub links an address without any brackets."""
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (units.grams_text(0.0), "0 g"),
        (units.grams_text(3e-17), "0 g"),
        (units.grams_text(0.000_000_5), "0.500 µg"),
        (units.grams_text(0.0123), "12.3 mg"),
        (units.grams_text(0.123), "0.123 g"),
        (units.grams_text(999.0), "999 g"),
        (units.grams_text(1234.0), "1.23 kg"),
        (units.grams_text(2_500_000.0), "2.50 t"),
        (units.signed_grams_text(12.0), "+12.0 g"),
        (units.signed_grams_text(-12.0), "-12.0 g"),
        (units.signed_grams_text(0.0), "0 g"),
        (units.energy_text(0.0), "0 Wh"),
        (units.energy_text(0.000_5), "500 mWh"),
        (units.energy_text(0.0067), "6.70 Wh"),
        (units.energy_text(12.34), "12.3 kWh"),
        (units.energy_text(1234.0), "1.23 MWh"),
        (units.memory_text(1024**3), "1,024.0 MiB"),
        (units.change_text(None), "n/a"),
        (units.change_text(-0.04), "0.0 %"),
        (units.change_text(12.34), "+12.3 %"),
        (units.points_text(-0.125), "-0.12 points"),
        (units.significant(123_456.0), "123000"),
        (units.significant(-0.00123), "-0.00123"),
        (units.significant(9.999), "10.0"),
    ],
)
def test_figures_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
