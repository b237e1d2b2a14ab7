"""What is known about the grid at one moment: the other half of a decision."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from include.records import Forecast, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The grid as it looks from one moment.

    ``reading`` holds now, from the provider, the cache or the profile. ``shape`` is the modelled curve of the hours to
    come and only ever orders them. ``failed_looks`` counts the provider's failures in a row, this look included, 0 where
    it answered. ``steps`` names each step of the fallback in one line. ``threshold_comparable`` is False where the
    reading's grams do not mean what the provider's would. ``worth_retrying`` is False where another look cannot help.
    """

    reading: Reading | None = None
    shape: tuple[Reading, ...] = ()
    forecast: Forecast | None = None
    failed_looks: int = 0
    steps: tuple[str, ...] = ()
    threshold_comparable: bool = True
    worth_retrying: bool = True


class TypicalHours(Protocol):
    """What is usual for the hours to come, from values of the same signal; a history store is one."""

    def typical(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return the usual hours that overlap ``[start, end)``, in time order; there may be gaps, or none at all.

        :raises LowtideError: the stored values cannot be used.
        """
        ...
