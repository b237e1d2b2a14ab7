"""Where a command line user asks the grid: what an Airflow user keeps in a connection comes from the environment."""

import os
from datetime import datetime

from include.config import GridConfig
from include.records import ReplayAnchor
from include.scheduler import GridSignal, open_signal, replay_anchor

URL_VARIABLE = "LOWTIDE_GRID_URL"
TOKEN_VARIABLE = "LOWTIDE_GRID_TOKEN"  # noqa: S105 the variable's name, not a token


def open_from_environment(grid: GridConfig, real_now: datetime) -> tuple[GridSignal, ReplayAnchor | None]:
    """Open the configured grid's signal; address and token from the environment, where given."""
    anchor = replay_anchor(grid, real_now)
    access = {"base_url": os.environ.get(URL_VARIABLE) or None, "token": os.environ.get(TOKEN_VARIABLE) or None}
    return open_signal(grid, anchor=anchor, **access), anchor
