"""``micro_batch_size: auto``: the largest micro-batch whose peak memory meets a target.

Candidates are the effective batch cut into k equal pieces, so that it stays exactly micro-batch x accumulation. They are
measured, not modelled: real steps of this training, in a process of its own (``trial``).

On a CPU the peak is the resident set's, and the same training differs from itself by a tenth and more: the heap keeps what it
cannot give back. The size with the luckiest of many measurements would be chosen. So a margin is kept, and what was
chosen is measured once more, for longer and in a process of its own.
"""

import math
import sys
from collections.abc import Callable, Iterable

from include import errors
from include.config.batching import MemoryTarget, parse_memory_target
from include.config.training import TrainingConfig
from include.errors import ConfigurationError, LowtideError, TrainingError
from include.trainer.device import select_device
from include.trainer.micro_batches.trial_process import TrialWatch, run_trial
from include.trainer.micro_batches.trial_protocol import TrialRequest, TrialResult
from include.units import BYTES_PER_MIB

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
