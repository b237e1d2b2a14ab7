"""Reads the command line, runs one command, and turns errors into one sentence and an exit status.

Exit statuses: 0 done; 1 it went wrong; 2 the user can correct it; 3 skipped or refused by the deadline's rule;
130 interrupted.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from lowtide.errors import ConfigurationError, LowtideError, UserError

_DESCRIPTION = "Lowtide trains at the low tide of the grid's carbon, and shows figures that can be followed back."
_COMMANDS = {
    "train": "wait until the policy says run, train under measurement, write record.json and ledger.jsonl",
    "plan": "show what would be decided now, and why: the outlook, the chosen block, what it should save",
    "compare": "compare a run, or several, with a baseline and write report.json, report.md and report.html",
    "report": "sum up all runs over time: energy, emissions, what waiting and efficiency avoided, waits, missed deadlines",
    "settle": "value a run again at the grid's measured intensity, beside the first valuation; recovers a run that was killed",
    "export": "write runs as CSV with CodeCarbon's columns, as a Hugging Face model card's block, or as JSON",
    "intensity": "show a zone's carbon intensity now, with its origin",
    "history": "import a grid's past from a file; show its coverage, gaps and a chart",
    "backtest": "what a policy would have saved on a grid's past, against starting at once and against perfect foresight",
}
"""What each command does; its module in this package has the same name and is imported when the command is chosen."""
_EXAMPLES = """examples:
  lowtide plan include/configs/optimized.yaml
  lowtide train include/configs/optimized.yaml --output artifacts/runs/mine
  lowtide train include/configs/baseline.yaml --now --output artifacts/runs/base
  lowtide compare --baseline artifacts/runs/base --run artifacts/runs/mine --output artifacts/reports/mine

`lowtide COMMAND --help` has the examples of each command.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one sentence; that of a command imports the command's module when it is chosen.

    :param module: defines ``EXAMPLES``, ``add_arguments(parser)`` and ``run(options)``, which may return an exit status; None for
        the root and subcommands.
    """

    def __init__(self, *, module: str | None = None, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self._module = module

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._module is not None:
            command, self._module = import_module(self._module), None
            self.epilog = command.EXAMPLES
            command.add_arguments(self)
            self.add_argument("--json", action="store_true", help="print JSON on standard output")
            self.set_defaults(run=command.run)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message.removeprefix('argument ')} (see `{self.prog} --help`)")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = _Parser(prog="lowtide", description=_DESCRIPTION, epilog=_EXAMPLES)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in _COMMANDS.items():
        commands.add_parser(name, module=f"lowtide.cli.{name}", help=text, description=text)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    logging.basicConfig(level=logging.WARNING, format="lowtide: %(message)s", stream=sys.stderr)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # the outlook's steps name its retries
    signal.signal(signal.SIGTERM, _interrupt)  # so that a child and a meter are ended as on Ctrl-C
    try:
        options = parser().parse_args(arguments)
        return options.run(options) or 0
    except KeyboardInterrupt:
        return _complain("interrupted; the ledger is kept", 130)
    except UserError as error:
        return _complain(str(error), 2)
    except LowtideError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:  # `| head` has read enough; Python would complain again when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a closed pipe: a sentence, no traceback
        return _complain(
            f"{error.filename or 'the system'}: {error.strerror or error}; free space or check the path", 1
        )


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _complain(sentence: str, status: int) -> int:
    print(f"lowtide: {sentence}", file=sys.stderr)
    return status
