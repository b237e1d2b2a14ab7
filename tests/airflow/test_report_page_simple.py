"""The page behind the button under Airflow's default auth manager, where roles hold for all DAGs."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.api_server import running_api_server
from tests.support.comparisons import waiting_run
from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow


def test_a_viewer_sees_the_report_and_nobody_does_without_a_login(run_probe, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "vera:viewer")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
    monkeypatch.setenv("LOWTIDE_ARTIFACTS_ROOT", str(tmp_path / "artifacts"))
    record = tmp_path / "record.json"
    record.write_text(waiting_run().model_dump_json())
    outcome = run_probe("reported", file=write_config(tmp_path / "config"), record=record)
    path = f"/lowtide/reports/reported/{quote(outcome.run_id, safe='')}/compare"
    page = Path(outcome.xcoms["compare"]["report_html"]).read_bytes()
    assert b"Waiting 3:20:00" in page
    assert b"<script" not in page  # no script would run under the page's rules
    with running_api_server() as server:
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
