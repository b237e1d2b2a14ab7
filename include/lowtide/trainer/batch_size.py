"""``micro_batch_size: auto``: the largest micro-batch whose peak memory meets a target.

Candidates are the effective batch and its halves (the powers of two where it is one), so that it stays exactly micro-batch x
accumulation. They are measured with real optimizer steps of this training in another training child, which frees all its
memory when it ends; if the kernel kills that child for want of memory, the training survives.

On a CPU the peak is the resident set's, which differs by a tenth and more between two runs of the same training, so a margin
is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lowtide.config.schema import MemoryTarget, TrainingConfig, largest_divisor, parse_memory_target
from lowtide.errors import ConfigurationError, TrainingError
from lowtide.trainer.child_process import TrainingChild
from lowtide.trainer.device import select_device
from lowtide.trainer.protocol import EventKind, TrainingEvent
from lowtide.units import BYTES_PER_MIB

_MOST_PIECES_AT_FIRST = 32
"""Smaller micro-batches take long, and are measured only if none of these meets the target."""
_CPU_MARGIN = 0.25
"""By how much of the measured peak the resident set of the training itself may exceed it."""
_POLL_S = 0.2
Peaks = dict[int, int]
"""Peak memory in bytes by micro-batch size; without the sizes for which memory ran out."""
Measure = Callable[[Sequence[int]], Peaks]


def chosen_micro_batch(
    training: TrainingConfig, *, note: Callable[[str], None], measured: Callable[[], None], check: Callable[[], None]
) -> int:
    """Return the micro-batch of a configuration, measured if it is auto.

    :param note: called with one line that gives the chosen size and the reason.
    :param measured: called after each measured size.
    :param check: called several times a second; an exception of it ends the measurement.
    :raises UserError: no micro-batch meets the target, or data and model cannot be used.
    :raises TrainingError: the measurement failed for another reason.
    """
    if training.micro_batch_size != "auto":
        return training.micro_batch_size
    effective, target = training.effective_batch_size, parse_memory_target(training.memory_target)
    on_cpu = select_device(training.device).type == "cpu"
    margin = _CPU_MARGIN if on_cpu and target.share != 1 else 0.0
    kept = f" (a margin of {margin:.0%} is kept, since peaks vary on a CPU)" if margin else ""
    peaks = probe(lambda sizes: _measure(training, sizes, measured=measured, check=check), target, effective, margin)
    if not peaks:
        raise TrainingError(
            "training.micro_batch_size auto: memory does not suffice for a micro-batch of 1 sample; choose a smaller model or"
            " inputs, training.precision bf16, or a device with more memory"
        )
    unaccumulated_bytes = unaccumulated_peak_bytes(peaks, effective)
    limit_mib = target.limit_bytes(unaccumulated_bytes) / BYTES_PER_MIB
    how = "measured" if effective in peaks else "estimated, since the whole batch does not fit"
    size = largest_within(peaks, target.limit_bytes(unaccumulated_bytes, margin=margin))
    if size is None:
        smallest = min(peaks)
        raise ConfigurationError(
            f"training.memory_target {training.memory_target} ({limit_mib:.0f} MiB) cannot be met: even a micro-batch of"
            f" {smallest} peaks at {peaks[smallest] / BYTES_PER_MIB:.0f} MiB{kept}, most of it model, optimizer and data;"
            " raise the target, or choose a smaller model"
        )
    note(
        f"training.micro_batch_size auto: {size} x {effective // size}, peak {peaks[size] / BYTES_PER_MIB:.0f} MiB; the"
        f" target {training.memory_target} is {limit_mib:.0f} MiB, {how}{kept}"
    )
    return size


def candidates(effective: int) -> list[int]:
    """Return the effective batch and its halves down to 1; where a half does not divide it, the next smaller size that does."""
    sizes = [effective]
    while sizes[-1] > 1:
        sizes.append(largest_divisor(effective, most=sizes[-1] // 2))
    return sizes


def probe(measure: Measure, target: MemoryTarget, effective: int, margin: float = 0.0) -> Peaks:
    """Measure the candidates of up to 32 pieces, and the smaller ones only if none of these meets the target."""
    large = [size for size in candidates(effective) if size * _MOST_PIECES_AT_FIRST >= effective]
    peaks = measure(large)
    limit_bytes = target.limit_bytes(unaccumulated_peak_bytes(peaks, effective), margin=margin) if peaks else 0
    if largest_within(peaks, limit_bytes) is None:
        peaks |= measure(candidates(effective)[len(large) :])
    return peaks


def largest_within(peaks: Peaks, limit_bytes: float) -> int | None:
    """Return the largest micro-batch whose peak is within a limit; None without one."""
    return max((size for size, peak in peaks.items() if peak <= limit_bytes), default=None)


def unaccumulated_peak_bytes(peaks: Peaks, effective: int) -> float:
    """Return the peak of the whole batch at once: measured, or where it did not fit, on a line through the largest two.

    Activations grow in proportion to the micro-batch; model, optimizer and data do not grow.
    """
    if effective in peaks or len(peaks) == 1:
        return peaks[max(peaks)]
    next_largest, largest = sorted(peaks)[-2:]
    slope = (peaks[largest] - peaks[next_largest]) / (largest - next_largest)
    return peaks[largest] + slope * (effective - largest)


def _measure(
    training: TrainingConfig, sizes: Sequence[int], *, measured: Callable[[], None], check: Callable[[], None]
) -> Peaks:
    """Measure in a training child; sizes for which memory does not suffice are left out.

    :raises UserError: data or model cannot be used.
    :raises TrainingError: the child died before it had measured anything, or does not respond.
    """
    if not sizes:
        return {}
    peaks: Peaks = {}
    ascending = tuple(sorted(sizes))
    with TrainingChild(training, log_path=None, project_root=Path.cwd(), trial_sizes=ascending) as child:
        child.start()
        for event in _measured_events(child, check):
            measured()
            if event.data["peak_memory_bytes"] is None:
                return peaks
            peaks[event.data["micro_batch_size"]] = event.data["peak_memory_bytes"]
    return peaks


def _measured_events(child: TrainingChild, check: Callable[[], None]) -> Iterator[TrainingEvent]:
    """Yield each size as it is measured; if the child dies after the first, the kernel killed it for the size of the next."""
    count = 0
    while True:
        check()
        try:
            event = child.next_event(_POLL_S)
        except TrainingError:
            if count and not child.is_running:
                return
            raise
        if event is None:
            continue
        if event.kind is EventKind.FAILED:
            raise event.as_error()
        if event.kind is EventKind.FINISHED:
            return
        if event.kind is EventKind.MEASURED:
            count += 1
            yield event
