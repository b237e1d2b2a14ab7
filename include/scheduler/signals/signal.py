"""The grid's signal of one zone: what holds now with every fallback on record, and what held over any span."""

import logging
from datetime import datetime
from typing import Self

from include.config import Zone
from include.errors import SignalError
from include.moments import as_utc, format_moment
from include.records import EmissionFactorType, Reading, SignalType
from include.scheduler.curves.coverage import Source, cover
from include.scheduler.outlooks.foretelling import Foreteller
from include.scheduler.outlooks.outlook import READING, Outlook, TypicalHours, Wanted
from include.scheduler.signals.fallback import HoursToCome, comparable, figure, hours_to_come, stand_in
from include.scheduler.signals.feeds import Answer, Feed
from include.scheduler.signals.memory import Memory
from include.scheduler.signals.profile import country_mean_reading, profile_readings

_log = logging.getLogger(__name__)


class GridSignal:
    """One zone's signal. Thread-safe: a tracker may book while a refresher looks.

    :param history: what is usual for the hours to come, from stored values of this very signal.
    :param foreteller: what this signal's past and its provider's forecast say of the hours to come.
    """

    def __init__(
        self,
        zone: Zone,
        feed: Feed,
        *,
        is_replay: bool = False,
        history: TypicalHours | None = None,
        foreteller: Foreteller | None = None,
    ) -> None:
        self.zone = zone
        self.is_replay = is_replay
        self._feed = feed
        self._history = history
        self._foreteller = foreteller or Foreteller(None)
        self._memory = Memory()

    @property
    def feed(self) -> Feed:
        """The provider in working order; the history is filled from it."""
        return self._feed

    @property
    def signal_type(self) -> SignalType:
        """Average or marginal, as the configured provider says."""
        return self._feed.provider.signal_type

    @property
    def emission_factor_type(self) -> EmissionFactorType:
        """Lifecycle or direct, as the configured provider says; fallbacks say their own in each reading."""
        return self._feed.provider.emission_factor_type

    @property
    def provider_name(self) -> str:
        """The provider that is asked; under ``auto``, the one that was chosen."""
        return self._feed.provider.name

    def outlook(self, now: datetime, wanted: Wanted = READING) -> Outlook:
        """Look once: provider, last good reading, history, profile, nothing; each step on record.

        Blocks while the provider is asked. Trouble of the network or the provider is part of the outlook, not raised.

        :param wanted: what a policy goes by beside the reading. A forecast is one more request where it is an answer of its
            own.
        :raises ConfigurationError: a replay that has left its trace.
        """
        return self.conclude(now, self.ask(now, with_forecast=wanted.forecast), wanted)

    def ask(self, now: datetime, *, with_forecast: bool = False) -> Answer | SignalError:
        """Ask the provider and return its answer or what went wrong; blocks. ``conclude`` makes an outlook of it.

        :raises ConfigurationError: a replay that has left its trace.
        """
        try:
            return self._feed.current(as_utc(now), with_forecast=with_forecast)
        except SignalError as error:
            return error

    def conclude(self, now: datetime, asked: Answer | SignalError, wanted: Wanted = READING) -> Outlook:
        """Return the outlook that an answer, or the lack of one, leaves; no network, but the history's files are read."""
        now = as_utc(now)
        outlook = self._concluded(now, asked)
        return self._foreteller.foretold(outlook, now, wanted, self.provider_name)

    def _concluded(self, now: datetime, asked: Answer | SignalError) -> Outlook:
        hours = hours_to_come(self.zone, self._history, now)
        if isinstance(asked, SignalError):
            return self._fallen_back(now, hours, asked)
        self._memory.remember((asked.reading, *asked.others), last_good=asked.reading)
        steps = (f"{self.provider_name}: {figure(asked.reading)}", *asked.notes)
        return Outlook(reading=asked.reading, shape=hours.shape(now), forecast=asked.forecast, steps=steps)

    def held_s(self) -> float:
        """Return for how many seconds more the provider asked to be left alone."""
        return self._feed.held_s()

    def inherit(self, older: Self) -> None:
        """Go on with what an older signal of the same source has learned; its connection was read again, say."""
        self._memory = older._memory
        self._foreteller = older._foreteller

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` with the best that can be had now; asks the provider, so it may block.

        Gaps are filled from earlier looks, the profile and the country's mean; every reading keeps its kind and source.
        """
        start, end = as_utc(start), as_utc(end)
        try:
            found = self._feed.span(start, end) if start < end else ()
            self._memory.remember(found)
        except SignalError as error:
            # what stands in for it says so by its kind and source, but only the log can say why
            _log.warning(
                "no answer for %s to %s, which are filled: %s", format_moment(start), format_moment(end), error
            )
            found = ()
        return cover(start, end, [lambda *_: found, *self._sources_at_hand()])

    def booking(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Cover ``[start, end)`` fully, at once, from what is known already: never asks the network."""
        return cover(as_utc(start), as_utc(end), self._sources_at_hand())

    def _sources_at_hand(self) -> list[Source]:
        return [
            self._feed.at_hand,
            self._memory.known,
            lambda *_: self._memory.prolonged(self._feed.max_age),
            lambda start, end: profile_readings(self.zone, start, end),
            lambda start, end: (country_mean_reading(self.zone, start, end),),
        ]

    def _fallen_back(self, now: datetime, hours: HoursToCome, error: SignalError) -> Outlook:
        failed = self._memory.count_failure()
        instead = stand_in(self._feed, self._memory, hours, now)
        told = f"{self.provider_name}: {error} (failed look {failed} in a row)"
        return Outlook(
            reading=instead.reading,
            shape=hours.shape(now),
            failed_looks=failed,
            steps=(told, *instead.steps),
            threshold_comparable=instead.reading is not None and comparable(self._feed, instead.reading),
            worth_retrying=self._feed.can_recover,
        )
