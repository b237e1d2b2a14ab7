"""Runs a trial of micro-batch sizes in a process of its own, and hears its results as they come."""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from include.trainer.micro_batches.trial_protocol import TrialRequest, TrialResult

_POLL_S = 0.2
_CHUNK_BYTES = 1 << 16


def _nothing() -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialWatch:
    """Who watches a trial: ``measured`` is called after each size, ``check`` several times a second.

    ``check`` may raise (a stop was asked for): the trial is then ended.
    """

    measured: Callable[[], None] = _nothing
    check: Callable[[], None] = _nothing


def run_trial(request: TrialRequest, watch: TrialWatch) -> tuple[int, list[TrialResult]]:
    """Return the trial's exit status and its results.

    :raises Exception: what ``watch.check`` raised.
    """
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "include.trainer.micro_batches.trial", str(write_fd)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(write_fd,), text=True)
    except OSError:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)  # the child's copy must be the only one, or its death would not end the reading
    with process:
        try:
            _ask(process.stdin, request)
            results = _heard(read_fd, watch)
        except BaseException:
            process.kill()  # else leaving would wait for its end
            raise
        finally:
            os.close(read_fd)
        return process.wait(), results


def _ask(pipe: IO[str] | None, request: TrialRequest) -> None:
    if pipe is None:
        return
    try:
        pipe.write(request.model_dump_json() + "\n")
        pipe.close()
    except BrokenPipeError:
        return  # it died before it could read: its status will say so


def _heard(read_fd: int, watch: TrialWatch) -> list[TrialResult]:
    results = []
    for line in _lines(read_fd, watch.check):
        results.append(TrialResult.model_validate_json(line))
        watch.measured()
    return results


def _lines(read_fd: int, check: Callable[[], None]) -> Iterator[bytes]:
    rest = b""
    while True:
        check()
        if not select.select([read_fd], [], [], _POLL_S)[0]:
            continue
        chunk = os.read(read_fd, _CHUNK_BYTES)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
            check()
