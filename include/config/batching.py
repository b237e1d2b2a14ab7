"""How an effective batch is cut: micro_batch_size, accumulation_steps and effective_batch_size, of which two give the third."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BeforeValidator, Field

from include.units import BYTES_PER_GIB, BYTES_PER_MIB

AUTO = "auto"
_EFFECTIVE = "effective_batch_size"
_UNITS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": BYTES_PER_MIB,
    "GiB": BYTES_PER_GIB,
}
_TARGET = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """A greatest peak: ``share`` of the unaccumulated one, or bytes; exactly one is set."""

    share: float | None = None
    size_bytes: int | None = None

    def limit_bytes(self, unaccumulated_peak_bytes: float) -> float:
        """Return the greatest peak in bytes."""
        if self.size_bytes is not None:
            return self.size_bytes
        return (self.share or 0.0) * unaccumulated_peak_bytes

    def with_margin(self, margin: float) -> "MemoryTarget":
        """Return what a peak must keep within so that one which is by ``margin`` (a share of itself) larger meets the target.

        The whole of the unaccumulated peak needs no margin: nothing larger is asked for.
        """
        if self.size_bytes is not None:
            return MemoryTarget(size_bytes=int(self.size_bytes / (1 + margin)))
        share = self.share or 0.0
        return self if share >= 1 else MemoryTarget(share=share / (1 + margin))


def parse_memory_target(text: object) -> MemoryTarget:
    """Read ``50%``, ``2GiB``, ``500MB`` or a number of bytes.

    :raises ValueError: anything else, zero, or more than 100 %.
    """
    number, unit = _number_and_unit(text)
    if unit == "%" and 0 < number <= 100:
        return MemoryTarget(share=number / 100)
    if unit in _UNITS and number * _UNITS[unit] >= 1:
        return MemoryTarget(size_bytes=int(number * _UNITS[unit]))
    raise ValueError("write a share of the unaccumulated peak like 50%, or a size like 2GiB or 500MB")


def _number_and_unit(text: object) -> tuple[float, str]:
    if isinstance(text, int) and not isinstance(text, bool):
        return float(text), ""
    match = _TARGET.fullmatch(text.strip()) if isinstance(text, str) else None
    return (float(match[1]), match[2]) if match else (0.0, "")


def _checked_target(text: object) -> str:
    parse_memory_target(text)
    return str(text).strip()


def _checked_size(value: object) -> object:
    if value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("it should be a valid integer, at least 1, or auto")


MemoryTargetText = Annotated[str, BeforeValidator(_checked_target)]
# checked as one: a union's own errors would name its branches, which nobody wrote
MicroBatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_checked_size)]


def complete_batching(raw: Any) -> Any:
    """Fill in what follows from the other two: the effective batch, or the number of micro-batches that it takes."""
    if not isinstance(raw, dict):
        return raw
    micro, steps, effective = (raw.get(name) for name in ("micro_batch_size", "accumulation_steps", _EFFECTIVE))
    if not _is_count(micro):
        return raw
    if effective is None and _is_count(steps):
        return raw | {_EFFECTIVE: micro * steps}
    if steps is None and _is_count(effective):
        return raw | {"accumulation_steps": math.ceil(effective / micro)}  # check_batching refuses what is uneven
    return raw


def check_batching(micro: int | Literal["auto"], steps: int | None, effective: int | None) -> None:
    """Check that they agree, once each is valid by itself.

    :raises ValueError: too little is said, or too much.
    """
    if micro == AUTO and effective is None:
        raise ValueError("training.micro_batch_size 'auto' needs training.effective_batch_size; add it, e.g. 512")
    if micro == AUTO and steps is not None:
        raise ValueError(
            f"training.micro_batch_size 'auto' decides how often to accumulate; leave out accumulation_steps {steps}"
        )
    if effective is None or (micro != AUTO and steps is None):
        raise ValueError(
            f"training.micro_batch_size {micro} alone does not say how large a step is; add accumulation_steps or"
            " effective_batch_size"
        )
    if isinstance(micro, int) and math.ceil(effective / micro) == steps and effective % micro:
        raise ValueError(
            f"training.effective_batch_size {effective} cannot be cut into equal micro-batches of {micro}; the next smaller"
            f" training.micro_batch_size that divides it is {largest_divisor(effective, most=micro)}"
        )
    if isinstance(micro, int) and micro * (steps or 1) != effective:
        raise ValueError(
            f"training.micro_batch_size {micro} x accumulation_steps {steps} is not effective_batch_size {effective};"
            " leave one of them out"
        )


def largest_divisor(effective_batch_size: int, *, most: int) -> int:
    """Return the largest micro-batch of at most ``most`` samples that an effective batch is a whole number of, at least 1."""
    fewest = math.ceil(effective_batch_size / max(1, min(most, effective_batch_size)))
    steps = next(count for count in range(fewest, effective_batch_size + 1) if effective_batch_size % count == 0)
    return effective_batch_size // steps


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
