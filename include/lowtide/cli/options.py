"""Option values: their readers, options that several commands have, and what the environment gives where an option does not."""

import argparse
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from lowtide.config.airflow_params import CONFIGS_FOLDER, configuration_files
from lowtide.config.loader import PROJECT_ROOT, LoadedConfig, deployed_artifacts_path, load_config, parse_setting
from lowtide.config.schema import GridConfig, ReportConfig
from lowtide.grid.client import IntensityClient
from lowtide.grid.factory import open_signal, replay_anchor
from lowtide.grid.http import Credentials
from lowtide.records import ReplayAnchor
from lowtide.timeutil import parse_time

URL_VARIABLE = "LOWTIDE_GRID_URL"
TOKEN_VARIABLE = "LOWTIDE_GRID_TOKEN"  # noqa: S105 the variable's name, not a token
LOGIN_VARIABLE = "LOWTIDE_GRID_LOGIN"
DEFAULT_PERCENT = ReportConfig().repeatability_percent


def reader(read: Callable[[str], Any], complaint: str) -> Callable[[str], Any]:
    """Return a type for argparse, which reports a text that ``read`` refuses.

    :param complaint: what follows the text: what is wrong with it, and what to write.
    """

    def checked(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, KeyError, OSError):  # ZoneInfo raises each of them
            raise argparse.ArgumentTypeError(f"{text!r} {complaint}") from None

    return checked


def number(least: float, most: float, *, whole: bool = False) -> Callable[[str], Any]:
    """Return a type for argparse: a number within two limits, both allowed; not-a-number is none."""

    def read(text: str) -> float:
        value = int(text) if whole else float(text)
        if not least <= value <= most:
            raise ValueError
        return value

    return reader(read, f"cannot be used; give a {'whole number' if whole else 'number'} from {least} to {most}")


timestamp = reader(parse_time, "is not a timestamp with an offset; write e.g. 2026-03-01T06:00Z")


def add_repeatability(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--repeatability-percent``; None where it is not given."""
    parser.add_argument(
        "--repeatability-percent",
        metavar="PERCENT",
        type=number(0, 100),
        help=f"a change within this counts as none (default: {default})",
    )


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add ``CONFIG`` and ``--set``, which ``configuration`` reads."""
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of one in include/configs")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="override a value of the file; may be repeated"
    )


def configuration(options: argparse.Namespace, **settings: Any) -> LoadedConfig:
    """Return the configuration that ``CONFIG`` names, a path or the name of a file in include/configs, with ``--set``.

    :param settings: further values; they override ``--set``.
    :raises ConfigurationError: a value is missing, unknown or not allowed.
    """
    path = Path(options.config)
    if not path.exists() and options.config in configuration_files():
        path = CONFIGS_FOLDER / options.config
    return load_config(path, dict(map(parse_setting, options.set)) | settings)


def open_from_environment(
    grid: GridConfig, real_now: datetime, *, artifacts: Path | None = None, anchor: ReplayAnchor | None = None
) -> tuple[IntensityClient, ReplayAnchor | None]:
    """Open the configured grid's signal; address, login and token come from the environment, where set and not empty.

    :param artifacts: the artifact root, for the history of this signal.
    :param anchor: of a run that is resumed: its virtual time continues; None: a replay begins now.
    """
    anchor = (anchor if grid.provider == "replay" else None) or replay_anchor(grid, real_now)
    url, login, token = (os.environ.get(name) or None for name in (URL_VARIABLE, LOGIN_VARIABLE, TOKEN_VARIABLE))
    access = Credentials(base_url=url)
    if login or token:
        place = f"{LOGIN_VARIABLE} and {TOKEN_VARIABLE}"
        access = Credentials(base_url=url, login=login, token=token, place=place)
    return open_signal(grid, anchor=anchor, access=access, artifacts=artifacts), anchor


def artifacts_root(option: Path | None) -> Path:
    """Return the folder that was given, else the deployment's artifact root, else the project's folder ``artifacts``.

    :raises ConfigurationError: the deployment's is an object store.
    """
    return option.resolve() if option else deployed_artifacts_path() or PROJECT_ROOT / "artifacts"


def print_json(values: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(values, indent=2, allow_nan=False))
