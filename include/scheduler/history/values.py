"""One value of the history: an interval's intensity, how anyone knows, and since when."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from include.records import IntensityKind, Reading
from include.scheduler.history.key import HistoryKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
ACTUAL, FORECAST = "actual", "forecast"
STAGE_OF_KIND = {
    IntensityKind.MEASURED: ACTUAL,
    IntensityKind.ESTIMATED: ACTUAL,
    IntensityKind.FORECAST: FORECAST,
}
"""Kinds that are knowledge of the grid; cached, modelled and replayed readings stand in for it and are not kept."""
_KIND = {kind.value: kind for kind in STAGE_OF_KIND}


class Value(NamedTuple):
    """Moments in microseconds since 1970 (UTC): a year of values is compared and sorted without a datetime."""

    start_us: int
    end_us: int
    gco2eq_per_kwh: float
    kind: str
    source: str
    known_at_us: int

    @property
    def interval(self) -> tuple[int, int]:
        """Start and end; revisions of one interval are found by it."""
        return self.start_us, self.end_us

    @property
    def stage(self) -> str:
        """``actual`` or ``forecast``."""
        return STAGE_OF_KIND[_KIND[self.kind]]

    @property
    def recency(self) -> tuple[int, bool, float, str]:
        """What is known later stands; the rest only makes ties independent of the order of parts."""
        return self.known_at_us, self.kind == IntensityKind.MEASURED, self.gco2eq_per_kwh, self.source

    @property
    def month(self) -> str:
        """The UTC month in which the interval begins, by which parts are kept apart."""
        return month_of(from_us(self.start_us))


def to_us(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the moment in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def month_of(moment: datetime) -> str:
    """Return ``YYYY-MM``."""
    return f"{moment.year:04d}-{moment.month:02d}"


def value_of(reading: Reading, known_at: datetime) -> Value:
    """Return a reading as it was learnt at a moment."""
    return Value(
        to_us(reading.start),
        to_us(reading.end),
        reading.carbon_intensity_gco2eq_per_kwh,
        reading.kind.value,
        reading.source,
        to_us(known_at),
    )


def readings_of(values: Iterable[Value], key: HistoryKey) -> tuple[Reading, ...]:
    """Return values as readings of the key's zone; the moment at which two intervals meet is made once."""
    zone, signal_type, factor_type = key.zone, key.signal_type, key.emission_factor_type
    moments: dict[int, datetime] = {}
    readings = []
    for start_us, end_us, gco2eq_per_kwh, kind, source, _ in values:
        start = moments.get(start_us) or from_us(start_us)
        end = moments[end_us] = from_us(end_us)
        readings.append(
            Reading(
                zone=zone,
                start=start,
                end=end,
                carbon_intensity_gco2eq_per_kwh=gco2eq_per_kwh,
                source=source,
                kind=_KIND[kind],
                signal_type=signal_type,
                emission_factor_type=factor_type,
            )
        )
    return tuple(readings)


def reading_of(value: Value, key: HistoryKey) -> Reading:
    """Return a value as a reading of the key's zone."""
    return readings_of((value,), key)[0]
