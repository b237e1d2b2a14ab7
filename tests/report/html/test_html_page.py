"""The page as a document: what it says, that it loads nothing, and that no name becomes markup."""

import itertools
import re
import time
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from lowtide import units
from lowtide.config.schema import ReportConfig
from lowtide.records import TrainingRecord
from lowtide.report.html.page import _template, render_html, tiles_of
from lowtide.runs.account import derive
from lowtide.runs.evidence import wait_evidence

from tests.support.comparisons import compare_one, compared, golden_reports, waiting_run
from tests.support.day_runs import evening_baseline, night_run
from tests.support.pages import CASES, NOW, WrittenPage
from tests.support.records import make_record

Page = Callable[[str], WrittenPage]
_VOID = {"meta", "br", "img", "link", "input", "hr", "base"}


class Document(HTMLParser):
    """What is in a page: elements, texts, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], data))

    def tags(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in names]

    def text(self) -> str:
        words = " ".join(text for tag, text in self.texts if tag not in ("style", "title", "desc"))
        return " ".join(words.replace("\u00a0", " ").replace("\u2212", "-").split())


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_whole_and_its_ids_are_its_own(page: Page, case: str) -> None:
    document = Document(page(case).html)
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in document.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
        assert (attributes.get("href") or "#").removeprefix("#") in {"", *ids}
        for found in re.findall(r"url\(#([^)]+)\)", " ".join(filter(None, attributes.values()))):
            assert found in ids


@pytest.mark.parametrize("case", CASES)
def test_the_page_holds_nothing_that_runs_or_loads(page: Page, case: str) -> None:
    document = Document(page(case).html)
    assert (
        document.tags("script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "foreignobject")
        == []
    )
    for _, attributes in document.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action", "data")]
        assert "@import" not in str(attributes.get("style"))
    style = next(text for tag, text in document.texts if tag == "style")
    assert "@import" not in style
    assert "url(" not in style
    policy = [a["content"] for a in document.tags("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]
    assert "http" not in re.sub(r"http-equiv", "", page(case).html)


@pytest.mark.parametrize("case", CASES)
def test_the_first_heading_is_the_headline_and_headings_go_down_one_step_at_a_time(page: Page, case: str) -> None:
    document = Document(page(case).html)
    levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert next(text for tag, text in document.texts if tag == "h1").startswith(page(case).report.headline.text[:12])
    assert [a for a in document.tags("html") if a.get("lang") == "en"]


@pytest.mark.parametrize("case", CASES)
def test_every_chart_has_a_name_a_description_and_a_table(page: Page, case: str) -> None:
    document = Document(page(case).html)
    charts = document.tags("svg")
    units = document.tags("figure")
    assert len(charts) == len(units) >= 3
    assert all(chart["role"] == "img" for chart in charts)
    descriptions = [text for tag, text in document.texts if tag == "desc"]
    assert len(descriptions) == len(charts)
    assert all(any(character.isdigit() for character in text) for text in descriptions)
    assert len(document.tags("details")) >= len(units)
    assert len(document.tags("caption")) == len(document.tags("table"))
    assert all("scope" in attributes for attributes in document.tags("th"))


@pytest.mark.parametrize(
    ("case", "badge"),
    [
        ("night", "Claimed"),
        ("worse", "Claimed"),
        ("alone", "No baseline"),
        ("withheld", "Withheld"),
        ("simulated", "Simulated"),
    ],
)
def test_the_status_is_first(page: Page, case: str, badge: str) -> None:
    document = Document(page(case).html)
    assert document.text().startswith(f"To the figures {badge}")
    assert page(case).report.headline.status == badge.lower().replace(" ", "_")


def test_a_worse_result_is_set_as_a_better_one(page: Page) -> None:
    """The same elements with the same classes: nothing in the style sheet knows which way a change went."""
    better, worse = (
        re.sub(r'<svg.*?</svg>|<dd class="more">.*?</dd>\n', "", page(case).html, flags=re.DOTALL)
        for case in ("night", "worse")
    )
    heads = [re.search(r"<header.*?</section>", text, flags=re.DOTALL) for text in (better, worse)]
    shapes = [re.findall(r"<[^>]*>", found[0]) for found in heads if found]
    assert len(shapes) == 2
    assert shapes[0] == shapes[1]
    assert "Higher" in worse
    assert "Added by waiting" in worse


def test_no_name_becomes_markup_and_no_name_turns_the_text_around(page: Page) -> None:
    text = page("hostile").html
    document = Document(text)
    assert document.tags("script", "img") == []
    assert len(document.tags("style")) == len(document.tags("html")) == len(document.tags("body")) == 1
    assert document.text().count("<script>document.title='taken'</script>\"'><img src=x") >= 6
    assert "{{7*7}} {% raw %} $x^2$" in document.text()
    assert not set("\u202e\u202c\u200f") & set(text)


def test_the_tables_sum_to_the_record(page: Page) -> None:
    text = Document(page("night").html).text()
    assert "Whole run 492 Wh 105 g" in text
    assert "which sum to 492 Wh and 105 g: the record's figures" in text
    assert "Sum of the changes -71.0 g" in text


def test_a_baseline_that_has_only_its_xcom_is_reported_and_its_total_is_drawn(page: Page) -> None:
    text = Document(page("from_xcom").html).text()
    assert "The baseline is missing here: its ledger" in text
    assert "Baseline: 176 g in total; its course is not known here" in text
    assert "cannot be read here" in text


def test_several_runs_are_means_with_intervals(page: Page) -> None:
    found = page("repeated")
    text = Document(found.html).text()
    repeats = found.report.replicates
    assert repeats is not None
    mean = next(f.run.mean for f in repeats.figures if f.name == "emissions_gco2eq")
    assert f"Emissions {mean:.0f} g" in text
    assert "The first baseline and the first run are drawn" in text
    assert "over 3 and 3 runs" in text
    assert "Mean carbon intensity 276 g/kWh ± 0 g/kWh 214 g/kWh ± 0 g/kWh -22.4 %" in text


def test_a_replayed_runs_power_is_given_in_real_watts(page: Page) -> None:
    """1 h 42 min on the replayed grid were 51 s: the same energy, 120 times the power."""
    found = page("simulated")
    text = Document(found.html).text()
    watts = 3.6e6 * found.report.run.energy_kwh.total / (1.7 * 3600 / 120)
    assert f"This run: {watts / 1000:.1f} kW on average" in text
    assert "All times are the replayed grid's." in text


def test_the_same_report_gives_the_same_bytes(page: Page) -> None:
    found = page("night")
    assert render_html(found.report) == found.html


def test_a_day_of_five_second_rows_is_a_page_in_three_seconds_of_one_processor(tmp_path: Path) -> None:
    """Counted as the processor's time: this machine may have other work. benchmarks/report_html.py has the clock's."""
    length: dict[str, Any] = {"hours": 24.0, "row_s": 5.0}
    _, baseline = evening_baseline(**length).write(tmp_path / "base")
    _, run = night_run(**length, wait=timedelta(hours=9), pauses=[(8.0, 2.0), (16.0, 3.0)]).write(tmp_path / "run")
    report = compare_one(baseline, run, settings=ReportConfig(), now=NOW)
    begin = time.process_time()
    text = render_html(report)
    assert time.process_time() - begin < 3
    assert "17,280 rows, which sum to" in text
    assert len(text.encode()) < 400_000


def test_a_name_that_the_template_forgets_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(Exception, match="undefined"):
        _template().render()


@pytest.mark.parametrize("name", golden_reports())
def test_a_report_whose_ledgers_are_gone_is_still_a_whole_page(name: str) -> None:
    document = Document(render_html(golden_reports()[name]))
    text = document.text()
    assert "cannot be read here (No such file or directory)" in text
    assert "Its totals are in the tables." in text


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu_kwh": 0.0, "gpu_kwh": 0.0, "ram_kwh": 0.0},
        {"grid_gco2eq_per_kwh": 0.0, "submission_gco2eq_per_kwh": 0.0},
        {"cpu_kwh": 1e-12, "gpu_kwh": 1e-12, "ram_kwh": 1e-12},
        {"gpu_kwh": 4e6, "grid_gco2eq_per_kwh": 950.0},
        {"test_accuracy": 1.0, "peak_memory_bytes": 0},
        {"test_accuracy": 0.0, "grid_gco2eq_per_kwh": 310.0},
    ],
)
def test_nothing_and_very_much_are_drawn_too(changes: dict[str, Any]) -> None:
    for baseline in (None, make_record(), make_record(**changes)):
        Document(render_html(compared(baseline, waiting_run(**changes))))


def test_a_best_time_far_away_is_reported_and_does_not_shrink_the_run(tmp_path: Path) -> None:
    """A run of minutes with a deadline in hours would otherwise be a line's width in its own drawing."""
    run = night_run(hours=0.2, wait=timedelta(minutes=3), pauses=[], policy="window", changes={"policy": "window"})
    folder, record = run.write(tmp_path / "run")
    evidence = wait_evidence(record, folder, None, now=NOW)
    report = compare_one(None, record, settings=ReportConfig(), now=NOW, evidence=evidence)
    assert report.waiting.perfect_foresight is not None
    text = Document(render_html(report)).text()
    assert "With perfect foresight of the grid until" in text
    assert "when perfect foresight would have run" not in text


def test_a_grid_of_which_nothing_is_known_is_not_drawn_as_a_clean_one(tmp_path: Path) -> None:
    folder, _ = night_run(decisions=False).write(tmp_path / "run")
    folder.intensity.unlink()
    record = derive(folder)
    assert isinstance(record, TrainingRecord)
    assert record.emissions_gco2eq == 0
    document = Document(render_html(compare_one(None, record, settings=ReportConfig(), now=NOW)))
    assert "No intensity is known for the time from submission to the end." in document.text()
    assert "Power and cumulative emissions since the start" in [text for tag, text in document.texts if tag == "title"]


def test_the_controllable_change_has_the_same_base_as_the_change_beside_it(page: Page) -> None:
    shown = page("night")
    controllable, total = shown.report.controllable, shown.report.attribution_gco2eq.total
    assert controllable is not None
    assert total is not None
    assert shown.report.baseline is not None
    emissions, mine, *_ = tiles_of(shown.report)
    before = shown.report.baseline.emissions_gco2eq
    base = f"of the baseline's {units.grams_text(before)}"
    assert emissions.lines[0] == f"{units.signed_grams_text(total)}, {units.change_text(100 * total / before)} {base}"
    assert (mine.label, mine.now) == ("Controllable change", units.signed_grams_text(controllable.change_gco2eq))
    assert mine.lines[0] == f"{units.change_text(100 * controllable.change_gco2eq / before)} {base}"
    assert mine.lines[2] == f"{units.change_text(controllable.change_percent)} of what it would have been without"
