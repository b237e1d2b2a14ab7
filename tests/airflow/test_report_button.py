"""The report's page and button under Airflow's default auth manager, where roles hold for all DAGs.

The button is pressed in a real browser; that test is skipped where there is no Chromium with its chromedriver.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api_server import ApiServer, running_api_server
from tests.support.browser import Browser, missing_browser
from tests.support.comparisons import waiting_run
from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow

BUTTON = "return [...document.querySelectorAll('a')].filter(a => a.textContent.trim() === 'Report').map(a => a.href);"


@dataclass(frozen=True)
class Deployment:
    """A server with the user ``vera``, a viewer, and a finished comparison."""

    server: ApiServer
    outcome: Any

    @property
    def run(self) -> str:
        return quote(self.outcome.run_id, safe="")

    @property
    def path(self) -> str:
        return f"/lowtide/reports/reported/{self.run}/compare"


@pytest.fixture(scope="module")
def deployed(run_probe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployed")
    variables = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "vera:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "LOWTIDE_ARTIFACTS_ROOT": str(folder / "artifacts"),
    }
    record = folder / "record.json"
    record.write_text(waiting_run().model_dump_json())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        outcome = run_probe("reported", file=write_config(folder / "config"), record=record)
        with running_api_server() as server:
            yield Deployment(server, outcome)


def test_a_viewer_sees_the_report_and_without_a_login_there_is_none(deployed):
    server, path = deployed.server, deployed.path
    page = Path(deployed.outcome.xcoms["compare"]["report_html"]).read_bytes()
    assert "Waiting 3 h 20 min" in page.decode().replace("\u00a0", " ").replace("&nbsp;", " ")
    assert b"<script" not in page  # no script would run under the page's rules
    assert server.get(path).status == 401
    viewer = {"Authorization": f"Bearer {server.login('vera')}"}
    assert server.get(path, **viewer).body == page
    assert server.get(path.replace("/reported/", "/no_such_dag/"), **viewer).status == 404


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("", "/lowtide/reports/d/scheduled__2026-03-01T22%3A00%3A00%2B00%3A00/compare"),
        (
            "https://airflow.example.org/team-a/",
            "/team-a/lowtide/reports/d/scheduled__2026-03-01T22%3A00%3A00%2B00%3A00/compare",
        ),
    ],
)
def test_the_address_has_no_host_and_stays_below_airflows_own(monkeypatch, base_url, address):
    from airflow.models.taskinstancekey import TaskInstanceKey
    from lowtide.airflow.compare import CompareRunsOperator

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    operator = CompareRunsOperator(task_id="compare", config="optimized.yaml")
    key = TaskInstanceKey("d", "compare", "scheduled__2026-03-01T22:00:00+00:00")
    (link,) = operator.operator_extra_links
    assert link.get_link(operator, ti_key=key) == address
    assert link.get_link(operator, ti_key=key.with_try_number(2)) == address


def waited_for(browser, script, within_s=120.0):
    until = time.monotonic() + within_s
    while not (found := browser.ask(script)):
        assert time.monotonic() < until, browser.ask("return document.body.innerText;")
        time.sleep(0.3)
    return found


@pytest.mark.skipif(missing_browser() is not None, reason=f"no browser: {missing_browser()}")
def test_a_viewer_presses_the_button_and_reads_the_report(deployed):
    server, run = deployed.server, deployed.run
    with Browser() as browser:
        base = f"http://127.0.0.1:{server.port}"
        browser.open(f"{base}{deployed.path}")
        assert browser.ask("return document.body.innerText;") == "Not authenticated"

        login = {"name": "_token", "value": server.login("vera"), "url": base, "httpOnly": True}
        browser.command("Network.setCookies", cookies=[login])
        browser.open(f"{base}/dags/reported/runs/{run}/tasks/compare/details")
        (address,) = waited_for(browser, BUTTON)
        assert address == f"{base}{deployed.path}"
        browser.console()
        browser.requested()
        browser.ask("[...document.querySelectorAll('a')].find(a => a.textContent.trim() === 'Report').click();")
        title = waited_for(browser, "return document.querySelector('h1') && document.querySelector('h1').textContent;")
        assert "Waiting 3 h 20 min" in title.replace("\u00a0", " ")
        assert browser.ask("return document.styleSheets.length;") == 1
        assert browser.ask("return [...document.querySelectorAll('svg')].length;") > 0
        assert browser.ask("try { return document.cookie; } catch (error) { return error.name; }") == "SecurityError"
        assert browser.console() == []
        pages = [url for url in browser.requested() if "/lowtide/" in url]
        assert pages == [address]
