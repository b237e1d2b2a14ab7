"""The page behind the button "Report", in Airflow's own API server with its own logins and permissions."""

import functools
import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.api_server import running_api_server
from tests.support.comparisons import waiting_run
from tests.support.config_files import write_config

pytestmark = pytest.mark.airflow

PAGE = b"<!doctype html><title>Report</title><p>68.9 mg"
SECRET = b"not for any reader"


@pytest.fixture(scope="module")
def server(airflow_db, tmp_path_factory):
    """A server whose users each read the DAG that they are named after; the artifact root is the deployment's."""
    folder = tmp_path_factory.mktemp("deployed")
    variables = {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.per_dag_auth.PerDagAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "reported:viewer,other_reported:viewer,mapped_reported:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "LOWTIDE_ARTIFACTS_ROOT": str(folder / "artifacts"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with running_api_server() as running:
            yield running


@pytest.fixture(scope="module")
def comparisons(server, run_probe, tmp_path_factory):
    """Return what makes, once, a finished comparison in a probe DAG, with its folder; the page is the tests' own."""
    folder = tmp_path_factory.mktemp("compared")
    record = folder / "record.json"
    record.write_text(waiting_run().model_dump_json())

    @functools.cache
    def make(dag_id):
        outcome = run_probe(dag_id, file=write_config(folder / "config"), record=record)
        assert outcome.states["compare"] == "success"
        reports = Path(outcome.xcoms["compare"]["report"]).parent
        (reports / "report.html").write_bytes(PAGE)
        return outcome, reports, shutil.copytree(reports, folder / dag_id)

    return make


@pytest.fixture
def compared(comparisons):
    """Return what gives a finished comparison and its folder, both as they were written."""

    def make(dag_id):
        outcome, reports, copy = comparisons(dag_id)
        shutil.rmtree(reports, ignore_errors=True)
        shutil.copytree(copy, reports)
        edit_xcom(outcome.run_id, outcome.xcoms["compare"])
        return outcome, reports

    return make


def path_of(dag_id, run_id, task_id="compare"):
    return f"/lowtide/reports/{dag_id}/{quote(run_id, safe='')}/{task_id}"


def as_user(server, name):
    return {"Authorization": f"Bearer {server.login(name)}"}


def stored_link(run_id, map_index=-1):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.scalars(
            select(XComModel).where(XComModel.run_id == run_id, XComModel.map_index == map_index)
        ).all()
        return next(XComModel.deserialize_value(row) for row in rows if row.key == "_link_ReportLink")


def edit_xcom(run_id, value):
    """Do what a user can do who may edit XComs."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        conditions = (XComModel.task_id == "compare", XComModel.key == "return_value", XComModel.map_index == -1)
        session.execute(update(XComModel).where(XComModel.run_id == run_id, *conditions).values(value=value))


def test_the_buttons_address_is_stored_and_shows_the_page_to_whoever_may_read_the_dag(server, compared):
    outcome, _ = compared("reported")
    link = (
        json.loads(stored_link(outcome.run_id))
        if stored_link(outcome.run_id)[0] == '"'
        else stored_link(outcome.run_id)
    )
    assert link == path_of("reported", outcome.run_id)
    answer = server.get(link, **as_user(server, "reported"))
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    cookie = server.get(link, Cookie=f"_token={server.login('reported')}")
    assert (cookie.status, cookie.body) == (200, PAGE)


def test_airflows_own_interface_offers_the_button(server, compared):
    outcome, _ = compared("reported")
    path = f"/api/v2/dags/reported/dagRuns/{quote(outcome.run_id, safe='')}/taskInstances/compare/links"
    answer = server.get(path, **as_user(server, "reported"))
    assert answer.status == 200, answer.text
    assert json.loads(answer.body)["extra_links"] == {"Report": path_of("reported", outcome.run_id)}


def test_without_a_login_there_is_nothing_to_see(server, compared):
    outcome, _ = compared("reported")
    path = path_of("reported", outcome.run_id)
    assert server.get(path).status == 401
    assert server.get(path, Authorization="Bearer nonsense").status in (401, 403)
    assert server.get(path_of("no_such_dag", "no_such_run")).status == 401
    assert server.get(path_of("~", outcome.run_id)).status == 401
    for about in ("/lowtide/docs", "/lowtide/redoc", "/lowtide/openapi.json", "/lowtide", "/lowtide/"):
        assert b"lowtide" not in server.get(about).body.lower()


def test_a_viewer_of_another_dag_is_refused(server, compared):
    outcome, _ = compared("reported")
    stranger = as_user(server, "other_reported")
    refused = server.get(path_of("reported", outcome.run_id), **stranger)
    assert refused.status == 403
    assert PAGE not in refused.body
    assert server.get(path_of("~", outcome.run_id), **stranger).status == 403
    # naming the own DAG with another DAG's run, also as a query, finds nothing
    assert server.get(path_of("other_reported", outcome.run_id), **stranger).status == 404
    both = f"{path_of('reported', outcome.run_id)}?dag_id=other_reported"
    assert server.get(both, **stranger).status == 403


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_every_answer_carries_the_rules_for_the_browser(server, compared, status):
    outcome, folder = compared("reported")
    if status == 404:
        (folder / "report.html").unlink()
    headers = {} if status == 401 else as_user(server, "other_reported" if status == 403 else "reported")
    answer = server.get(path_of("reported", outcome.run_id), **headers)
    assert answer.status == status
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy["sandbox"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "private, no-store"


def test_a_deleted_report_is_one_sentence(server, compared):
    outcome, folder = compared("reported")
    shutil.rmtree(folder)
    answer = server.get(path_of("reported", outcome.run_id), **as_user(server, "reported"))
    assert (answer.status, answer.text) == (404, "The report of this run is gone; clear its task to write it again.")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_task_that_wrote_no_report_is_one_sentence(server, compared):
    outcome, _ = compared("reported")
    reader = as_user(server, "reported")
    for path in (path_of("reported", outcome.run_id, "train"), path_of("reported", "no_such_run")):
        answer = server.get(path, **reader)
        assert answer.status == 404
        assert "has written no report." in answer.text
    assert server.get(f"{path_of('reported', outcome.run_id)}?map_index=7", **reader).status == 404
    assert server.get(f"{path_of('reported', outcome.run_id)}?map_index=x", **reader).status == 422


@pytest.mark.parametrize(
    "trick",
    [
        "..%2f..%2fsecret",
        "../../../secret",
        "..%252f..%252fsecret",
        "%2e%2e%2f%2e%2e%2fsecret",
        "....//secret",
        "%00secret",
    ],
)
def test_no_path_can_be_smuggled_in_through_the_ids(server, compared, trick):
    outcome, folder = compared("reported")
    (folder.parents[2] / "secret").write_bytes(SECRET)
    reader = as_user(server, "reported")
    run_id = quote(outcome.run_id, safe="")
    for path in (
        f"/lowtide/reports/reported/{trick}/compare",
        f"/lowtide/reports/reported/{run_id}/{trick}",
        f"/lowtide/reports/{trick}/{run_id}/compare",
        f"/lowtide/reports/reported/{run_id}/compare/{trick}",
        f"/lowtide/reports/reported/{run_id}/compare?path={trick}&file={trick}&map_index=-1&report={trick}",
    ):
        answer = server.get(path, **reader)
        assert SECRET not in answer.body
        assert answer.status in ((200,) if "?" in path else (400, 401, 403, 404, 422)), path


def test_an_edited_xcom_opens_no_other_file(server, compared):
    outcome, folder = compared("reported")
    other, other_folder = compared("other_reported")
    (other_folder / "report.html").write_bytes(SECRET)
    outside = folder.parents[3] / "elsewhere"
    shutil.copytree(folder, outside)
    (outside / "report.html").write_bytes(SECRET)
    reader = as_user(server, "reported")
    places = [outside, other_folder, folder / ".." / ".." / "other_reported" / other_folder.name]
    for written in [*(str(place / "report.json") for place in places), "/etc/passwd", 7, None, ["x"], {"report": {}}]:
        edit_xcom(outcome.run_id, written if isinstance(written, dict | None) else {"report": written})
        answer = server.get(path_of("reported", outcome.run_id), **reader)
        assert answer.status == 404, written
        assert SECRET not in answer.body
    assert other.run_id != outcome.run_id


@pytest.mark.parametrize("linked", ["the page", "the run's folder", "the DAG's folder"])
def test_symbolic_links_are_not_followed(server, compared, linked, tmp_path):
    outcome, folder = compared("reported")
    place = {"the page": folder / "report.html", "the run's folder": folder, "the DAG's folder": folder.parent}[linked]
    moved = tmp_path / "moved"
    shutil.move(place, moved)
    place.symlink_to(moved)
    try:
        answer = server.get(path_of("reported", outcome.run_id), **as_user(server, "reported"))
        assert (answer.status, PAGE in answer.body) == (404, False)
        assert "symbolic link" in answer.text
    finally:
        place.unlink()
        shutil.move(moved, place)


def test_a_pipe_in_the_pages_place_does_not_hold_the_server(server, compared):
    outcome, folder = compared("reported")
    (folder / "report.html").unlink()
    os.mkfifo(folder / "report.html")
    assert server.get(path_of("reported", outcome.run_id), **as_user(server, "reported")).status == 404


def test_each_mapped_comparison_has_its_own_button_and_page(server, compared):
    outcome, folder = compared("mapped_reported")
    reader = as_user(server, "mapped_reported")
    for index in (0, 1):
        page = folder.with_name(f"{folder.name.partition('~')[0]}~{index}") / "report.html"
        page.write_bytes(PAGE + str(index).encode())
        link = stored_link(outcome.run_id, index)
        assert link == f"{path_of('mapped_reported', outcome.run_id)}?map_index={index}"
        assert server.get(link, **reader).body == PAGE + str(index).encode()
    assert server.get(path_of("mapped_reported", outcome.run_id), **reader).status == 404
