"""The page behind the button: an app that Airflow's API server mounts, with Airflow's own login and permissions.

Only that server imports this module (see ``plugin``).
"""

import json
import logging
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, status
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from lowtide.errors import LowtideError
from lowtide.runs.stored_report import read_stored_report

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
