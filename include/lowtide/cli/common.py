"""Where a command line user asks the grid: what an Airflow user keeps in a connection comes from the environment."""

import argparse
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT, deployed_artifacts_path
from lowtide.config.schema import GridConfig, ReportConfig
from lowtide.errors import ConfigurationError
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal, replay_anchor
from lowtide.grid.http import Credentials
from lowtide.records import ReplayAnchor

URL_VARIABLE = "LOWTIDE_GRID_URL"
TOKEN_VARIABLE = "LOWTIDE_GRID_TOKEN"  # noqa: S105 the variable's name, not a token
LOGIN_VARIABLE = "LOWTIDE_GRID_LOGIN"


def access_from_environment() -> Credentials:
    """Return the address and credentials that the environment names; an empty variable is none."""
    url, login, token = (os.environ.get(name) or None for name in (URL_VARIABLE, LOGIN_VARIABLE, TOKEN_VARIABLE))
    if not login and not token:
        return Credentials(base_url=url)
    return Credentials(base_url=url, login=login, token=token, place=f"{LOGIN_VARIABLE} and {TOKEN_VARIABLE}")


def open_from_environment(
    grid: GridConfig, real_now: datetime, *, artifacts: Path | None = None, anchor: ReplayAnchor | None = None
) -> tuple[IntensityClient, ReplayAnchor | None]:
    """Open the configured grid's signal; address, login and token from the environment, where given.

    :param artifacts: the artifact root, for the history of this signal.
    :param anchor: of a run that is gone on with: its virtual time runs on; None: a replay begins now.
    """
    anchor = (anchor if grid.provider == "replay" else None) or replay_anchor(grid, real_now)
    return open_signal(grid, anchor=anchor, access=access_from_environment(), artifacts=artifacts), anchor


# Where commands that read no configuration find what runs have left.


def artifacts_root(option: Path | None) -> Path:
    """Return the folder that was given, else the deployment's artifact root, else the project's folder ``artifacts``.

    :raises ConfigurationError: the deployment's is an object store.
    """
    return option.resolve() if option else deployed_artifacts_path() or PROJECT_ROOT / "artifacts"


# Results on standard output.


def print_json(values: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(values, indent=2, allow_nan=False))


# The option that says within which change two runs count as equal.


DEFAULT_PERCENT = ReportConfig().repeatability_percent


def add_repeatability(parser: argparse.ArgumentParser, whose: str) -> None:
    """Add ``--repeatability-percent``; None where it is not given."""
    parser.add_argument(
        "--repeatability-percent",
        metavar="PERCENT",
        type=_percent,
        help=f"a change within this counts as none, {whose}",
    )


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ConfigurationError(f"--repeatability-percent {text!r} is no percentage; write a number from 0 to 100")
    return percent
