"""``python -m local run|up|down``: what the Makefile calls."""

import argparse
import sys

from rich.console import Console

from local.demo import run_demo
from local.lock import only_one
from local.places import Places
from local.runner import guarded, with_airflow
from local.up_down import down, up

DEFAULT_PORT = 8080


def main(arguments: list[str] | None = None) -> int:
    """Carry out a command and return its exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    return guarded(lambda: _command(options, Places.of_project(), console))


def _command(options: argparse.Namespace, places: Places, console: Console) -> None:
    if options.command == "down":
        if not places.home.exists():
            console.print("No Airflow is running here.", highlight=False)
            return
        with only_one(places.lock):
            down(places, console)
        return
    keep = options.command == "up"
    with_airflow(places, options.port, up if keep else run_demo, keep=keep, console=console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("run", "the demo"), ("up", "start Airflow and leave it running"), ("down", "stop it")):
        command = commands.add_parser(name, help=text)
        if name != "down":
            command.add_argument("--port", type=_port, default=DEFAULT_PORT, help="loopback port of UI and API")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1024 to 65535, e.g. 8090")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
