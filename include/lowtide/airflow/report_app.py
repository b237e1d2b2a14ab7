"""The page behind the button "Report": an app that Airflow's API server mounts, with Airflow's own login and permissions.

Only that server imports this module (see ``plugin``). A caller names a run, never a path: the path follows from the ids and the
server's artifact root, and the path in the task's XCom is only compared with it, since users may edit XComs.
"""

import contextlib
import json
import logging
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, status
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from lowtide.config.airflow_params import CONFIGS_FOLDER, configuration_files
from lowtide.config.loader import ARTIFACTS_VARIABLE, load_config
from lowtide.errors import ArtifactError, ConfigurationError, LowtideError
from lowtide.runs.folder import report_folder

PAGE = "report.html"
LARGEST_PAGE_BYTES = 64 * 1024**2

_log = logging.getLogger(__name__)

HEADERS = {
    # The page is one file with its styles and charts. Even if text from a configuration got through the escaping, no script
    # runs, nothing is fetched or sent, and (sandbox) the page has no access to Airflow's own pages.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}

# no documentation pages: they would answer without a login
app = FastAPI(title="Lowtide", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/reports/{dag_id}/{run_id}/{task_id}", dependencies=[Depends(requires_access_dag("GET"))])
def report(
    dag_id: str, run_id: str, task_id: str, session: SessionDep, map_index: Annotated[int, Query(ge=-1)] = -1
) -> Response:
    """Return the HTML report that a comparison wrote; a 404 is one sentence."""
    stored: Any = session.scalars(
        XComModel.get_many(
            run_id=run_id, key="return_value", dag_ids=dag_id, task_ids=task_id, map_indexes=map_index, limit=1
        )
    ).first()
    written = _written_report(stored)
    if written is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, f"Task {task_id!r} of run {run_id!r} of {dag_id} has written no report."
        )
    try:
        return Response(read_stored_report(written, dag_id, run_id, map_index), media_type="text/html")
    except LowtideError as error:
        _log.warning("no report of %r, task %r, whose XCom is %r: %s", run_id, task_id, written, error)
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


@app.middleware("http")
async def _with_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


@app.exception_handler(AnyHTTPException)
async def _sentence(request: Request, error: AnyHTTPException) -> Response:
    del request
    return PlainTextResponse(str(error.detail), status_code=error.status_code, headers=error.headers)


def _written_report(stored: Any) -> Any:
    """Return what a comparison's XCom names as its report; None where it is not a comparison's XCom."""
    value = None if stored is None else stored.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value.get("report") if isinstance(value, dict) else None


def artifacts_roots() -> list[Path]:
    """Return the artifact roots of this deployment: ``LOWTIDE_ARTIFACTS_ROOT``, else those of the files in include/configs."""
    found: list[Path] = []
    for name in configuration_files():
        with contextlib.suppress(ConfigurationError):  # a broken file must not hide the reports of the others
            found.append(load_config(CONFIGS_FOLDER / name).artifacts_path)
    return list(dict.fromkeys(found))


def read_stored_report(written: object, dag_id: str, run_id: str, map_index: int = -1) -> bytes:
    """Return the page of the report that a run, or an instance of its mapped comparison, wrote.

    :param written: the path of ``report.json``, as the task's XCom has it.
    :raises ArtifactError: the path is not the run's, leads over a symbolic link, or there is no page of at most 64 MiB.
    """
    for root in artifacts_roots():
        page = report_folder(root, dag_id, run_id, map_index) / PAGE
        if isinstance(written, str) and Path(written) == page.with_name("report.json"):
            return _content(page, root)
    raise ArtifactError(
        f"the report of run {run_id!r} of {dag_id} is outside this server's artifact root; set {ARTIFACTS_VARIABLE} to the"
        " same folder for every component"
    )


def _content(page: Path, root: Path) -> bytes:
    try:
        # the root itself may be a link: the deployment chose it
        if page.resolve(strict=True) != root.resolve() / page.relative_to(root):
            raise ArtifactError("the report of this run is behind a symbolic link, which is not followed")
        if not page.is_file() or page.stat().st_size > LARGEST_PAGE_BYTES:
            raise ArtifactError(f"the report {PAGE} of this run is not a file of at most 64 MiB, so it is not shown")
        return page.read_bytes()
    except FileNotFoundError:
        raise ArtifactError("the report of this run is gone; clear its task to write it again") from None
    except OSError as error:
        raise ArtifactError(f"the report of this run cannot be read here ({error.strerror})") from None
