"""Where a command line user asks the grid: what an Airflow user keeps in a connection comes from the environment."""

import os
from datetime import datetime
from pathlib import Path

from include.config import GridConfig
from include.records import ReplayAnchor
from include.scheduler import Access, GridSignal, open_signal, replay_anchor

URL_VARIABLE = "LOWTIDE_GRID_URL"
TOKEN_VARIABLE = "LOWTIDE_GRID_TOKEN"  # noqa: S105 the variable's name, not a token
LOGIN_VARIABLE = "LOWTIDE_GRID_LOGIN"


def access_from_environment() -> Access:
    """Return the address and credentials that the environment names; an empty variable is none."""
    url, login, token = (os.environ.get(name) or None for name in (URL_VARIABLE, LOGIN_VARIABLE, TOKEN_VARIABLE))
    if not login and not token:
        return Access(base_url=url)
    return Access(base_url=url, login=login, token=token, place=f"{LOGIN_VARIABLE} and {TOKEN_VARIABLE}")


def open_from_environment(
    grid: GridConfig, real_now: datetime, *, artifacts: Path | None = None, anchor: ReplayAnchor | None = None
) -> tuple[GridSignal, ReplayAnchor | None]:
    """Open the configured grid's signal; address, login and token from the environment, where given.

    :param artifacts: the artifact root, for the history of this signal.
    :param anchor: of a run that is gone on with: its virtual time runs on; None: a replay begins now.
    """
    anchor = (anchor if grid.provider == "replay" else None) or replay_anchor(grid, real_now)
    return open_signal(grid, anchor=anchor, access=access_from_environment(), artifacts=artifacts), anchor
