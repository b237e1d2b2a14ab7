"""The option that says within which change two runs count as equal."""

import argparse

from include.config import ReportConfig
from include.errors import ConfigurationError

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
