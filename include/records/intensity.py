"""What the grid emitted per kWh in an interval, and how anyone knows."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from include.errors import InvalidAnswer
from include.moments import format_moment, parse_moment


class IntensityKind(StrEnum):
    """How a figure came about; the kinds are never merged."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    FORECAST = "forecast"
    CACHED = "cached"
    MODELLED = "modelled"
    REPLAYED = "replayed"


class SignalType(StrEnum):
    """Average and marginal intensities are never compared with one another."""

    AVERAGE = "average"
    MARGINAL = "marginal"


class EmissionFactorType(StrEnum):
    """Lifecycle and direct (combustion only) factors are never compared with one another."""

    LIFECYCLE = "lifecycle"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The intensity of one zone over ``[start, end)``, with its origin.

    :raises InvalidAnswer: negative or non-finite intensity, naive moments, or an interval that does not run forwards.
    """

    zone: str
    start: datetime
    end: datetime
    carbon_intensity_gco2eq_per_kwh: float
    source: str
    kind: IntensityKind
    signal_type: SignalType
    emission_factor_type: EmissionFactorType

    def __post_init__(self) -> None:
        value = self.carbon_intensity_gco2eq_per_kwh
        if not math.isfinite(value) or value < 0:
            raise InvalidAnswer(
                f"{self.source} gave {value!r} g/kWh for zone {self.zone}; an intensity is finite and >= 0"
            )
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise InvalidAnswer(f"{self.source} gave an interval from {self.start} to {self.end} for zone {self.zone}")

    def covers(self, moment: datetime) -> bool:
        """Whether the moment lies in ``[start, end)``."""
        return self.start <= moment < self.end

    def comparable_with(self, other: "Reading") -> bool:
        """Whether grams of the two mean the same thing."""
        return (self.signal_type, self.emission_factor_type) == (other.signal_type, other.emission_factor_type)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping; ``from_json`` reads it back."""
        return {
            "zone": self.zone,
            "start": format_moment(self.start),
            "end": format_moment(self.end),
            "carbon_intensity_gco2eq_per_kwh": self.carbon_intensity_gco2eq_per_kwh,
            "source": self.source,
            "kind": self.kind.value,
            "signal_type": self.signal_type.value,
            "emission_factor_type": self.emission_factor_type.value,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        return cls(
            zone=data["zone"],
            start=parse_moment(data["start"]),
            end=parse_moment(data["end"]),
            carbon_intensity_gco2eq_per_kwh=float(data["carbon_intensity_gco2eq_per_kwh"]),
            source=data["source"],
            kind=IntensityKind(data["kind"]),
            signal_type=SignalType(data["signal_type"]),
            emission_factor_type=EmissionFactorType(data["emission_factor_type"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Readings of the hours to come, oldest first, without overlap; may be short, may have gaps.

    :raises InvalidAnswer: empty, unsorted, overlapping, or mixed in zone or meaning.
    """

    issued_at: datetime
    readings: tuple[Reading, ...]

    def __post_init__(self) -> None:
        if not self.readings:
            raise InvalidAnswer("a forecast without a single value")
        first = self.readings[0]
        for earlier, later in zip(self.readings, self.readings[1:], strict=False):
            if later.start < earlier.end:
                raise InvalidAnswer(
                    f"{first.source} gave a forecast for {first.zone} that is unsorted or overlaps at {later.start}"
                )
        if any(r.zone != first.zone or not r.comparable_with(first) for r in self.readings):
            raise InvalidAnswer(f"{first.source} gave a forecast that mixes zones or factor types")

    @property
    def horizon(self) -> datetime:
        """The end of the last interval."""
        return self.readings[-1].end
