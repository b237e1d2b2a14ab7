"""What is known about the grid at one moment: the other half of a decision."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from include.records import Forecast, Reading
from include.scheduler.curves.curve import IntensityCurve


class PastErrors(Protocol):
    """How wrong predictions of a kind were before."""

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """Return the 10 % and 90 % quantile of the saving of a block against starting now, in percent.

        The past errors of the same leads are laid over the curve; None where there are too few of them.
        """
        ...


class Trailing(Protocol):
    """What the grid was like before now."""

    def percentile(self, percent: float, window: timedelta) -> float | None:
        """Return the time-weighted percentile in g/kWh of the window before now; None if less than half is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The grid of the hours to come, as somebody expects it.

    ``source`` says who, e.g. "neso" or "history: 365 days, ridge". ``threshold_comparable`` is False where its grams do not
    mean what the provider's do: it may order hours, but is not held against a limit or a reading. The curve may begin before
    now; with jitter it should, by as much as the jitter is.
    """

    curve: IntensityCurve
    source: str
    issued_at: datetime
    threshold_comparable: bool = True
    past_errors: PastErrors | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a policy goes by beside the reading.

    ``forecast``: the provider's, which may cost a request. ``prediction``: what is made of it and of the history, or of the
    history alone. ``trailing``: the days before.
    """

    forecast: bool = False
    prediction: bool = False
    trailing: bool = False


READING = Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The grid as it looks from one moment.

    ``reading`` holds now, from the provider, the cache or the profile. ``shape`` is the modelled curve of the hours to
    come and only ever orders them. ``forecast`` is the provider's raw answer; ``prediction`` is what is made of all that is
    known, and what policies go by. ``trailing`` is what held before now. ``failed_looks`` counts the provider's failures in
    a row, this look included, 0 where it answered. ``steps`` names each step of the fallback in one line.
    ``threshold_comparable`` is False where the reading's grams do not mean what the provider's would. ``worth_retrying`` is
    False where another look cannot help.
    """

    reading: Reading | None = None
    shape: tuple[Reading, ...] = ()
    forecast: Forecast | None = None
    prediction: Prediction | None = None
    trailing: Trailing | None = None
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
