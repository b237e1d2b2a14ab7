"""``micro_batch_size: auto``: the largest micro-batch whose peak memory meets a target.

Candidates are the effective batch cut into k equal pieces, so that it stays exactly micro-batch x accumulation. They are
measured, not modelled: real steps of this training, in a process of its own (``trial``).

On a CPU the peak is the resident set's, and the same training differs from itself by a tenth and more: the heap keeps what it
cannot give back. The size with the luckiest of many measurements would be chosen. So a margin is kept, and what was
chosen is measured once more, for longer and in a process of its own.
"""

import math
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from pydantic import BaseModel, ConfigDict

from lowtide import errors
from lowtide.config.schema import MemoryTarget, TrainingConfig, parse_memory_target
from lowtide.errors import ConfigurationError, LowtideError, TrainingError
from lowtide.trainer.device import select_device, start_measuring, synchronize
from lowtide.trainer.loaders import Group
from lowtide.trainer.loop import OptimizationLoop
from lowtide.trainer.oom import shortage_of
from lowtide.trainer.optim import warm_up
from lowtide.trainer.setup import Parts, assemble, make_parts
from lowtide.units import BYTES_PER_MIB

# What is asked of a trial of micro-batch sizes, and what it answers.


class TrialRequest(BaseModel):
    """What to try, in ascending order, and for how many optimizer steps each.

    ``import_paths`` are the asking process's, so that a user's modules are found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig
    micro_batch_sizes: tuple[int, ...]
    steps: int = 3
    import_paths: tuple[str, ...]


class TrialResult(BaseModel):
    """One size: its peak, or ``shortage`` where memory ran out; or a user's mistake, which no size would mend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    micro_batch_size: int
    peak_memory_bytes: int | None = None
    shortage: str | None = None
    error: str | None = None
    error_type: str | None = None


# Runs a trial of micro-batch sizes in a process of its own, and hears its results as they come.


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
    command = [sys.executable, "-m", "lowtide.trainer.batch_size", str(write_fd)]
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


_COARSE = (32, 16, 8, 4, 2, 1)
_CPU_MARGIN = 0.25
"""Of the peak that a trial found: what the resident set of the training itself may be above it."""
_CONFIRMING_STEPS = 8
_INNER = 7
"""How many sizes are tried in one process between two that are known."""
Peaks = dict[int, int]
"""Peak memory in bytes by number of pieces."""
Measure = Callable[[Iterable[int]], Peaks]
"""Measures the peaks of some numbers of pieces; those that memory does not suffice for are left out."""


def chosen_micro_batch(training: TrainingConfig, tell: Callable[[str], None], watch: TrialWatch) -> int:
    """Return the micro-batch of a configuration, measured where it says auto.

    :param tell: told in one line what was chosen and why.
    :param watch: hears of each size that was measured; what its check raises ends the trial and is raised.
    :raises ConfigurationError: no micro-batch meets the target, or data and model cannot be used.
    :raises TrainingError: the trial failed for another reason.
    """
    if training.micro_batch_size != "auto":
        return training.micro_batch_size
    effective, target = training.effective_batch_size, parse_memory_target(training.memory_target)
    held = target.with_margin(_CPU_MARGIN) if select_device(training.device).type == "cpu" else target
    peaks = search(lambda pieces: measured(training, pieces, watch), held, effective)
    if not peaks:
        raise TrainingError(
            "training.micro_batch_size auto: memory does not suffice for a micro-batch of 1 sample; choose a smaller model or"
            " inputs, training.precision bf16, or a device with more memory"
        )
    limit_mib, how = _limit_bytes(peaks, target, effective) / BYTES_PER_MIB, _how(peaks)
    smallest, smallest_bytes = max(peaks.items())
    pieces = _fewest_within(peaks, held, effective)
    if held != target:
        pieces = _confirmed(training, peaks, _limit_bytes(peaks, held, effective), watch)
    if pieces is None:
        smallest_mib = peaks.get(smallest, smallest_bytes) / BYTES_PER_MIB  # the second look may have found more
        raise ConfigurationError(
            f"training.memory_target {training.memory_target} ({limit_mib:.0f} MiB) cannot be met: even a micro-batch of"
            f" {_size(effective, smallest)} peaks at {smallest_mib:.0f} MiB{_margin_told(held != target)}, most of it model,"
            " optimizer and data; raise the target, or choose a smaller model"
        )
    size = _size(effective, pieces)
    tell(
        f"training.micro_batch_size auto: {size} x {pieces}, peak {peaks[pieces] / BYTES_PER_MIB:.0f} MiB; the target"
        f" {training.memory_target} is {limit_mib:.0f} MiB, {how}{_margin_told(held != target)}"
    )
    return size


def _how(peaks: Peaks) -> str:
    return "measured" if 1 in peaks else "estimated, since the whole batch does not fit"


def _margin_told(kept: bool) -> str:
    return f" (a margin of {_CPU_MARGIN:.0%} is kept, since peaks vary on a CPU)" if kept else ""


def _confirmed(training: TrainingConfig, peaks: Peaks, limit_bytes: float, watch: TrialWatch) -> int | None:
    """Return the fewest pieces that keep within the limit once more, in a process that tries nothing else.

    :param peaks: what was found before; what is found now is noted in it.
    """
    while fitting := [pieces for pieces, peak in peaks.items() if peak <= limit_bytes]:
        pieces = min(fitting)
        again = measured(training, [pieces], watch, steps=_CONFIRMING_STEPS).get(pieces)
        if again is None:
            del peaks[pieces]  # memory did not suffice this time
            continue
        peaks[pieces] = max(peaks[pieces], again)
        if again <= limit_bytes:
            return pieces
    return None


def search(measure: Measure, target: MemoryTarget, effective: int) -> Peaks:
    """Measure until the fewest pieces that meet the target are known: a few far apart, then closer and closer around it."""
    possible = [k for k in range(1, effective + 1) if effective % k == 0]
    tried = {max(k for k in possible if k <= coarse) for coarse in _COARSE}
    peaks = measure(tried)
    if _fewest_within(peaks, target, effective) is None:
        finer = {max(k for k in possible if k <= 2**power) for power in range(6, 40)} - tried
        tried |= finer
        peaks |= measure(finer)
    while inner := _between(_fewest_within(peaks, target, effective), tried, possible):
        tried |= inner
        peaks |= measure(inner)
    return peaks


def _between(found: int | None, tried: set[int], possible: list[int]) -> set[int]:
    """Return a few numbers of pieces between the fewest that fit and the next fewer that do not; none if none is left."""
    if found is None:
        return set()
    fewer = max((k for k in tried if k < found), default=found)
    left = [k for k in possible if fewer < k < found]
    return set(left[:: math.ceil(len(left) / _INNER)]) if left else set()


def _fewest_within(peaks: Peaks, target: MemoryTarget, effective: int) -> int | None:
    limit = _limit_bytes(peaks, target, effective)
    return min((pieces for pieces, peak in peaks.items() if peak <= limit), default=None)


def _limit_bytes(peaks: Peaks, target: MemoryTarget, effective: int) -> float:
    return target.limit_bytes(unaccumulated_peak_bytes(peaks, effective)) if peaks else 0.0


def unaccumulated_peak_bytes(peaks: Peaks, effective: int) -> float:
    """Return the peak of the whole batch at once: measured, or where it did not fit, on a line through the largest two.

    Activations grow in proportion to the micro-batch; model, optimizer and data do not grow.
    """
    if 1 in peaks or len(peaks) == 1:
        return peaks[min(peaks)]
    largest, next_largest = sorted(peaks)[:2]
    sizes = [_size(effective, pieces) for pieces in (largest, next_largest)]
    slope = (peaks[largest] - peaks[next_largest]) / max(1, sizes[0] - sizes[1])
    return peaks[largest] + slope * (effective - sizes[0])


def _size(effective: int, pieces: int) -> int:
    return effective // pieces


def measured(training: TrainingConfig, pieces: Iterable[int], watch: TrialWatch, *, steps: int = 3) -> Peaks:
    """Measure in a child process; sizes that memory does not suffice for, whoever says so, are left out.

    :raises UserError: data or model cannot be used.
    :raises TrainingError: the child died before it had measured anything.
    """
    effective = training.effective_batch_size
    by_size = {_size(effective, k): k for k in sorted(pieces, reverse=True)}
    if not by_size:
        return {}
    request = TrialRequest(
        training=training,
        micro_batch_sizes=tuple(sorted(by_size)),
        steps=steps,
        import_paths=tuple(path for path in sys.path if path),
    )
    status, results = run_trial(request, watch)
    for result in results:
        if result.error is not None:
            raise _as_error(result)
    peaks = {by_size[result.micro_batch_size]: result.peak_memory_bytes for result in results}
    if status != 0 and not results:
        raise TrainingError(
            f"the trial of micro-batch sizes ended with status {status}; its output is in the training's log"
        )
    return {k: peak for k, peak in peaks.items() if peak is not None}


def _as_error(result: TrialResult) -> LowtideError:
    kind = getattr(errors, result.error_type or "", None)
    if not (isinstance(kind, type) and issubclass(kind, LowtideError)):
        kind = TrainingError
    return kind(result.error)


# Measures the peak memory of optimizer steps at several micro-batch sizes: ``python -m lowtide.trainer.batch_size FD``.
#
# In a process of its own: what it takes from the system is given back whole, and where it is killed for its size, the
# training is not. The first line of standard input is a ``TrialRequest``; a ``TrialResult`` goes to FD for each size. Sizes
# ascend, so that the high-water mark of memory is always that of the last one.


def main(arguments: list[str]) -> int:
    """Try the sizes that are asked for, until one does not fit."""
    request = TrialRequest.model_validate_json(sys.stdin.readline())
    sys.path += [path for path in request.import_paths if path not in sys.path]
    with os.fdopen(int(arguments[0]), "w", encoding="utf-8") as results:
        for result in _tried(request):
            results.write(result.model_dump_json() + "\n")
            results.flush()  # it must be through if the next size kills this process
    return 0


def _tried(request: TrialRequest) -> Iterator[TrialResult]:
    first = request.micro_batch_sizes[0]
    try:
        parts = make_parts(request.training, micro_batch_size=first, warn=_ignore)
        warm_up(request.training, parts.device)
        yield from _peaks(request, parts)
    except LowtideError as error:
        yield TrialResult(micro_batch_size=first, error=str(error), error_type=type(error).__name__)


def _peaks(request: TrialRequest, parts: Parts) -> Iterator[TrialResult]:
    meter = start_measuring(parts.device)
    source, loop = assemble(parts)
    group = next(iter(source.groups(size=loop.effective_batch_size, epoch=0)))
    loop.state.model.train()
    for size in request.micro_batch_sizes:
        loop.state.micro_batch_size = size
        shortage = _shortage(loop, group, request.steps)
        if shortage:
            yield TrialResult(micro_batch_size=size, shortage=shortage)
            return
        synchronize(parts.device)
        yield TrialResult(micro_batch_size=size, peak_memory_bytes=meter.peak_bytes_so_far())


def _shortage(loop: OptimizationLoop, group: Group, steps: int) -> str | None:
    try:
        for _ in range(steps):  # the first is without the optimizer's state; the heap settles a little later
            loop.optimizer_step(group, may_shrink=False)
    except Exception as error:  # noqa: BLE001 anything but a shortage of memory is raised again
        return shortage_of(error)
    return None


def _ignore(message: str) -> None:
    """Stay silent: the training itself will warn."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
