"""The page in a real browser: no complaint, no request, no sideways scrolling, and every text can be read.

Skipped where there is no Chromium with its chromedriver.
"""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.browser import Browser, missing_browser
from tests.support.pages import CASES, WrittenPage

pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=f"no browser to look with: {missing_browser()}")

Page = Callable[[str], WrittenPage]

POOR_CONTRAST = """
const luminance = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * r + .7152 * g + .0722 * b; };
const parse = s => (s.match(/[\\d.]+/g) || []).map(Number);
const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
for (let node; node = walker.nextNode();) {
  const e = node.parentElement, s = getComputedStyle(e);
  if (!node.data.trim() || ['TITLE', 'DESC', 'STYLE'].includes(e.tagName.toUpperCase()) || !e.getClientRects().length) continue;
  const ink = parse(e instanceof SVGElement ? s.fill : s.color).slice(0, 3);
  const [a, b] = [luminance(ink), luminance(ground(e))].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) poor.push([node.data.trim().slice(0, 40), ink, ground(e)]);
}
return poor;
"""
CROWDED = """
const crowded = [];
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  if (!frame.width) continue;
  const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  const name = svg.querySelector('title').textContent;
  boxes.forEach(([text, a], i) => {
    if (a.left < frame.left - 14 || a.right > frame.right + 14) crowded.push([name, text, 'beyond the edge']);
    boxes.slice(i + 1).forEach(([other, b]) => {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 4) crowded.push([name, text, other]);
    });
  });
}
return crowded;
"""
SMALL = """
return [...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length)
  .map(t => [t.textContent, t.getBoundingClientRect().height]).filter(([text, height]) => text.trim() && height < 9.5);
"""
UNREACHABLE = """
return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


def shown(browser: Browser, page: WrittenPage, width: int, scheme: str = "light") -> None:
    browser.resize(width)
    browser.prefer(scheme)
    browser.open(page.path)


@pytest.mark.parametrize("case", CASES)
def test_the_browser_has_nothing_to_complain_of_and_asks_for_nothing(browser: Browser, page: Page, case: str) -> None:
    browser.console(), browser.requested()
    shown(browser, page(case), 1280)
    assert browser.ask("return document.readyState") == "complete"
    assert browser.console() == []
    assert browser.requested() == [page(case).path.as_uri()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_page_is_wider_than_its_window(browser: Browser, page: Page, case: str, width: int) -> None:
    shown(browser, page(case), width)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask("return document.documentElement.scrollWidth") <= width
    assert browser.ask(UNREACHABLE) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("case", ["night", "worse", "alone", "withheld", "simulated"])
def test_every_text_is_read_on_its_ground(browser: Browser, page: Page, case: str, scheme: str) -> None:
    shown(browser, page(case), 1280, scheme)
    browser.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.ask(POOR_CONTRAST) == []
    paper = browser.ask("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 24, 26)"}[scheme]


def test_poor_contrast_would_be_noticed(browser: Browser, page: Page) -> None:
    shown(browser, page("night"), 1280)
    browser.ask("document.documentElement.style.setProperty('--muted', '#a0a0a0')")
    assert len(browser.ask(POOR_CONTRAST)) > 10


@pytest.mark.parametrize("width", [360, 900, 1280])
@pytest.mark.parametrize("case", CASES)
def test_no_text_of_a_chart_lies_on_another_or_is_too_small(
    browser: Browser, page: Page, case: str, width: int
) -> None:
    shown(browser, page(case), width)
    assert browser.ask(CROWDED) == []
    assert browser.ask(SMALL) == []


def test_a_name_that_is_a_script_does_not_run(browser: Browser, page: Page) -> None:
    shown(browser, page("hostile"), 1280)
    assert browser.ask("return document.title").startswith("Claimed: run <script>")
    assert browser.ask("return document.querySelectorAll('script, img').length") == 0
    assert browser.ask("return document.querySelectorAll('h2').length") >= 8


def test_the_first_screen_shows_what_changed_why_and_the_data_quality(browser: Browser, page: Page) -> None:
    shown(browser, page("night"), 1280)
    low = "return Math.round(document.querySelector(arguments).getBoundingClientRect().bottom)"
    for selector in (".badge", "h1", ".tiles", "#h-quality", "figure svg"):
        assert browser.ask(low.replace("arguments", repr(selector))) <= 900, selector


def test_a_worse_result_has_the_same_size_of_type(browser: Browser, page: Page) -> None:
    sizes = []
    for case in ("night", "worse"):
        shown(browser, page(case), 1280)
        looks = "[s.fontSize, s.fontWeight, s.color]"
        each = f"[...document.querySelectorAll('.badge, h1, .tile dd')].map(e => getComputedStyle(e)).map(s => {looks}.join(' '))"
        sizes.append(sorted(set(browser.ask(f"return {each}"))))
    assert sizes[0] == sizes[1]


def test_in_print_all_tables_are_open_and_the_paper_is_white(browser: Browser, page: Page, tmp_path: Path) -> None:
    shown(browser, page("night"), 720, "dark")
    browser.prefer("dark", media="print")
    heights = "return [...document.querySelectorAll('details table')].map(t => t.getBoundingClientRect().height)"
    assert all(height > 20 for height in browser.ask(heights))
    assert browser.ask("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.prefer("dark")  # without a medium: a screen that is forced would be printed as a screen
    pdf = browser.printed(tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 2 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type/Page/") <= 9


def test_the_keyboard_opens_a_table(browser: Browser, page: Page) -> None:
    shown(browser, page("night"), 1280)
    browser.ask("document.querySelector('summary').focus()")
    key: dict[str, Any] = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    browser.command("Input.dispatchKeyEvent", type="keyDown", **key)
    browser.command("Input.dispatchKeyEvent", type="keyUp", **key)
    assert browser.ask("return document.querySelector('details').open") is True


def test_under_the_servers_strictest_policy_the_page_looks_the_same(browser: Browser, page: Page) -> None:
    """As Airflow's route sends it: sandboxed, nothing loaded, styles of its own only."""
    served = page("night").path.read_bytes()

    class Route(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox",
            )
            self.end_headers()
            self.wfile.write(served if self.path == "/report" else b"")

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Route)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        browser.console(), browser.requested()
        browser.resize(1280)
        browser.open(f"http://127.0.0.1:{server.server_port}/report")
        asked = [url for url in browser.requested() if not url.endswith("/favicon.ico")]
        assert len(asked) == 1
        assert [line for line in browser.console() if "favicon" not in line] == []
        tree = browser.command("DOM.getDocument")["root"]["nodeId"]
        bar = browser.command("DOM.querySelector", nodeId=tree, selector=".key-run")["nodeId"]
        browser.command("DOM.enable"), browser.command("CSS.enable")
        style = browser.command("CSS.getComputedStyleForNode", nodeId=bar)["computedStyle"]
        assert {"name": "border-top-color", "value": "rgb(0, 105, 92)"} in style
    finally:
        server.shutdown()
        server.server_close()
