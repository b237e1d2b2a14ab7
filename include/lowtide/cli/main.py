"""Reads the command line, runs one command, and turns errors into one sentence and an exit status.

Exit statuses: 0 done; 1 it went wrong; 2 the user can mend it; 3 skipped or refused by the deadline's rule;
130 interrupted.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from lowtide.cli import backtest, compare, export, history, intensity, plan, report, settle, train
from lowtide.errors import ConfigurationError, LowtideError, UserError

_DESCRIPTION = "Lowtide trains at the low tide of the grid's carbon, and shows figures that can be followed back."
_EXAMPLES = """examples:
  lowtide intensity --zone GB
  lowtide plan include/configs/optimized.yaml
  lowtide train include/configs/optimized.yaml --output artifacts/runs/mine
  lowtide train include/configs/baseline.yaml --now --output artifacts/runs/base
  lowtide compare --baseline artifacts/runs/base --run artifacts/runs/mine --output artifacts/reports/mine
  lowtide report --since 2026-01-01
  lowtide settle artifacts/runs/mine
  lowtide export artifacts/runs/mine --format huggingface
  lowtide history show --zone GB
  lowtide backtest --trace GB_2023.csv.gz --history GB_2022.csv.gz --policy window
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print its usage too; one sentence says more
        raise ConfigurationError(f"{message} (see `{self.prog} --help`)")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = _Parser(
        prog="lowtide", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (train, plan, compare, report, settle, export, intensity, history, backtest):
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.HELP,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        command.set_defaults(run=module.run)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="lowtide: %(message)s", stream=sys.stderr)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what its retries came to is in the outlook's steps
    signal.signal(signal.SIGTERM, _interrupt)  # so that a child and a meter are ended as on Ctrl-C
    try:
        options = parser().parse_args(arguments)
        status: int = options.run(options)
    except KeyboardInterrupt:
        return _complain("interrupted; a ledger that was begun is kept", 130)
    except UserError as error:
        return _complain(str(error), 2)
    except LowtideError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:  # `| head` has seen enough; Python would complain once more while it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that filled up, a pipe that closed: not ours, and no reason for a traceback
        return _complain(
            f"{error.filename or 'the system'}: {error.strerror or error}; free space or check the path", 1
        )
    return status


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _complain(sentence: str, status: int) -> int:
    print(f"lowtide: {sentence}", file=sys.stderr)
    return status
