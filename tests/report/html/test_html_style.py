"""Text is read on every ground that it is on, in light and in dark; figures are set as figures."""

import itertools
import re
from importlib.resources import files

import pytest
from lowtide.config.providers import PROVIDERS, licences_of
from lowtide.config.schema import ProviderName
from lowtide.report.html.charts import COLOURS, inlined
from lowtide.units import duration_text, typeset

from tests.support.style_sheet import contrast, over, variables

CSS = (files("lowtide.report.html") / "page" / "style.css").read_text(encoding="utf-8")
BADGES = ("claimed", "simulated", "withheld", "no-baseline")
SHADES = ("waiting", "running", "paused", "interrupted")
DRAWN = ("run", "baseline", "less", "more", "others", "grid", "submission", "muted", "link")


def test_black_on_white_is_21_and_a_colour_on_itself_1() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((9, 99, 9), (9, 99, 9)) == 1
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_reading_needs(scheme: str) -> None:
    colour = variables(CSS, scheme)
    grounds = {"paper": colour["paper"], "panel": colour["panel"]}
    grounds |= {shade: over(colour[shade], 0.26, colour["paper"]) for shade in SHADES}
    for text, (name, ground) in itertools.product(("ink",), grounds.items()):
        assert contrast(colour[text], ground) >= 4.5, (text, name)
    for text, name in itertools.product(("ink", "muted", "link"), ("paper", "panel")):
        assert contrast(colour[text], grounds[name]) >= 4.5, (text, name)
    for badge in BADGES:
        assert contrast(colour["on-badge"], colour[badge]) >= 4.5, badge


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_drawn_stands_out_from_the_paper(scheme: str) -> None:
    colour = variables(CSS, scheme)
    for name in DRAWN:
        assert contrast(colour[name], colour["paper"]) >= 3, name
    for shade in SHADES:
        assert contrast(colour["grid"], over(colour[shade], 0.26, colour["paper"])) >= 3, shade


def test_every_colour_of_a_chart_is_one_of_the_pages_and_each_has_a_dark_one() -> None:
    light, dark = variables(CSS, "light"), variables(CSS, "dark")
    assert set(COLOURS) <= set(light)
    assert set(light) == set(dark)
    assert all(light[name] != dark[name] for name in light)


def test_print_keeps_the_light_colours() -> None:
    assert re.search(r"@media screen and \(prefers-color-scheme: dark\)", CSS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a change of -12.5 g", "a change of \u221212.5\u00a0g"),
        ("(-40.2 %)", "(\u221240.2\u00a0%)"),
        ("-2.33 g, work 0 g.", "\u22122.33\u00a0g, work 0\u00a0g."),
        ("from -3.0 % to -1.0 %", "from \u22123.0\u00a0% to \u22121.0\u00a0%"),
        ("276 g/kWh", "276\u00a0g/kWh"),
        ("nightly-3 on 2026-03-02", "nightly-3 on 2026-03-02"),
        ("/data/x-1/run:-5", "/data/x-1/run:-5"),
        ("3 seeds, 5 gpus", "3 seeds, 5 gpus"),
    ],
)
def test_figures_are_set_as_figures_and_names_stay(text: str, wanted: str) -> None:
    assert typeset(text) == wanted


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0, "0 s"),
        (0.25, "0.250 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (6120, "1 h 42 min"),
        (86_399, "24 h"),
        (90_000, "25 h"),
        (183_600, "2 d 3 h"),
    ],
)
def test_lengths_of_time_have_units(value_s: float, text: str) -> None:
    assert duration_text(value_s) == text


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_providers_data_is_named_with_its_licence(name: ProviderName) -> None:
    assert licences_of([f"{name}-region"]) == (PROVIDERS[name].licence,)


def test_licences_are_named_once_and_an_unknown_source_is_named_as_it_is() -> None:
    assert licences_of(["neso", "neso-13", "profile:2023", "replay:profile"]) == (
        "NESO Carbon Intensity API, CC BY 4.0.",
        "Typical days: derived from Electricity Maps data, Open Database License (ODbL) 1.0.",
    )
    assert licences_of(["my_grid"]) == ("my_grid: not known here.",)


def test_a_drawing_becomes_part_of_the_page() -> None:
    svg = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        ' width="9pt" viewBox="0 0 9 9" version="1.1">'
        '<metadata>x</metadata><defs><style>*{stroke-linejoin: round}</style><clipPath id="a"/></defs>'
        '<g id="axes_1" clip-path="url(#a)"><use xlink:href="#a" style="fill: #0a0b00; font: 13px \'DejaVu Sans\'"/></g></svg>'
    )
    found = inlined(svg, name="n", title="<T>", description="&")
    assert found == (
        '<svg viewBox="0 0 9 9" role="img" aria-labelledby="n-title n-desc">'
        '<title id="n-title">&lt;T&gt;</title><desc id="n-desc">&amp;</desc>'
        '<defs><clipPath id="a"/></defs><g clip-path="url(#a)"><use href="#a" style="fill: var(--ink); font-size: 13px"/></g></svg>'
    )
