"""The button "Report" in Airflow's own interface, in a real browser. Skipped where there is no Chromium with its chromedriver."""

import time
from urllib.parse import quote

import pytest

from tests.support.api_server import running_api_server
from tests.support.browser import Browser, missing_browser
from tests.support.comparisons import waiting_run
from tests.support.config_files import write_config

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(missing_browser() is not None, reason=f"no browser to look with: {missing_browser()}"),
]

BUTTON = "return [...document.querySelectorAll('a')].filter(a => a.textContent.trim() === 'Report').map(a => a.href);"


def waited_for(browser, script, within_s=120.0):
    until = time.monotonic() + within_s
    while not (found := browser.ask(script)):
        assert time.monotonic() < until, browser.ask("return document.body.innerText;")
        time.sleep(0.3)
    return found


def test_a_viewer_presses_the_button_and_reads_the_report(run_probe, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "vera:viewer")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", str(tmp_path / "artifacts"))
    record = tmp_path / "record.json"
    record.write_text(waiting_run().model_dump_json())
    outcome = run_probe("reported", file=write_config(tmp_path / "config"), record=record)
    with running_api_server() as server, Browser() as browser:
        base = f"http://127.0.0.1:{server.port}"
        run = quote(outcome.run_id, safe="")
        browser.open(f"{base}/lowtide/reports/reported/{run}/compare")
        assert browser.ask("return document.body.innerText;") == "Not authenticated"

        login = {"name": "_token", "value": server.login("vera"), "url": base, "httpOnly": True}
        browser.command("Network.setCookies", cookies=[login])
        browser.open(f"{base}/dags/reported/runs/{run}/tasks/compare/details")
        (address,) = waited_for(browser, BUTTON)
        assert address == f"{base}/lowtide/reports/reported/{run}/compare"
        browser.console()
        browser.requested()
        browser.ask("[...document.querySelectorAll('a')].find(a => a.textContent.trim() === 'Report').click();")
        title = waited_for(browser, "return document.querySelector('h1') && document.querySelector('h1').textContent;")
        assert "Waiting 3:20:00" in title
        assert browser.ask("return document.styleSheets.length;") == 1
        assert browser.ask("return [...document.querySelectorAll('svg')].length;") > 0
        assert browser.ask("try { return document.cookie; } catch (error) { return error.name; }") == "SecurityError"
        assert browser.console() == []
        pages = [url for url in browser.requested() if "/lowtide/" in url]
        assert pages == [address]
