"""What a provider is: a pure pair, build a request and parse an answer. Input and output live in the transport."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

from include.config import Zone
from include.records import EmissionFactorType, Reading, SignalType


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One GET below a provider's base address; no token in here, the transport adds it."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """What all providers say about their signal."""

    @property
    def name(self) -> str:
        """The provider's name in the configuration."""
        ...

    @property
    def signal_type(self) -> SignalType:
        """Average or marginal."""
        ...

    @property
    def emission_factor_type(self) -> EmissionFactorType:
        """Lifecycle or direct."""
        ...


class LocalProvider(Provider, Protocol):
    """A provider that needs no network: a trace, a profile."""

    @property
    def can_recover(self) -> bool:
        """Whether a later moment may have a reading where this one has none."""
        ...

    def readings(self, start: datetime, end: datetime) -> tuple[Reading, ...]:
        """Return what it has of ``[start, end)``, in time order, not clipped; there may be gaps."""
        ...

    def explain_gap(self, moment: datetime) -> str:
        """Return why it has nothing at a moment, in one sentence.

        :raises ConfigurationError: the moment is one that the user chose wrongly.
        """
        ...


class HttpProvider(ABC):
    """A live provider. A subclass states its facts as class variables and implements three pure functions."""

    name: ClassVar[str]
    signal_type: ClassVar[SignalType]
    emission_factor_type: ClassVar[EmissionFactorType]
    base_url: ClassVar[str]
    token_header: ClassVar[str | None] = None
    max_age: ClassVar[timedelta]
    """How long after its interval a last good reading may stand in for an answer."""
    resolution: ClassVar[timedelta]
    max_range: ClassVar[timedelta]
    """The longest span that one range request may ask for."""

    @abstractmethod
    def current_request(self, zone: Zone, now: datetime) -> Request:
        """Return the request for what holds now."""

    @abstractmethod
    def range_request(self, zone: Zone, start: datetime, end: datetime) -> Request:
        """Return the request for ``[start, end)``, past and future, at most ``max_range`` long."""

    @abstractmethod
    def parse(self, body: bytes, zone: Zone) -> tuple[Reading, ...]:
        """Return the answer's readings in time order, without overlap, at least one.

        :raises InvalidAnswer: anything that is not such an answer; never another exception, whatever the bytes.
        """
