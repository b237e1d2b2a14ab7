"""Ctrl-C, SIGTERM and a closed terminal end a runner the same way: once, and with everything it started."""

import signal
from types import FrameType
from typing import NoReturn

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end. Not an Exception: no handler for ordinary failures may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_on_signals() -> None:
    """Let the first signal raise Interrupted in the main thread; further ones do nothing, so that stopping completes."""
    for number in _NUMBERS:
        signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """Let a stop run to its end."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    ignore_signals()
    raise Interrupted(number)
