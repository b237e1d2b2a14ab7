"""Measures the peak memory of optimizer steps at several micro-batch sizes: ``python -m include.trainer.micro_batches.trial FD``.

In a process of its own: what it takes from the system is given back whole, and where it is killed for its size, the
training is not. The first line of standard input is a ``TrialRequest``; a ``TrialResult`` goes to FD for each size. Sizes
ascend, so that the high-water mark of memory is always that of the last one.
"""

import os
import sys
from collections.abc import Iterator

from include.errors import LowtideError
from include.trainer.assembly import Parts, assemble, make_parts
from include.trainer.device import synchronize
from include.trainer.feeding.batches import Group
from include.trainer.memory import start_measuring
from include.trainer.micro_batches.trial_protocol import TrialRequest, TrialResult
from include.trainer.optimization.loop import OptimizationLoop
from include.trainer.optimization.optimizers import warm_up
from include.trainer.optimization.shortage import shortage_of


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
