"""How good a provider's forecasts were: those that were stored as they came, against what the grid then did."""

from datetime import datetime, timedelta
from threading import Lock

from include.errors import LowtideError
from include.records import IntensityKind, Reading
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.history import HistoryStore
from include.scheduler.outlooks.past_forecasts import PastForecast, PastForecasts

DAYS = 28
_AHEAD = timedelta(hours=72)


class StoredForecasts:
    """The provider's forecasts of the last four weeks, each as it was known at the hour of day that is asked about."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._lock = Lock()
        self._hour: datetime | None = None
        self._found = PastForecasts(())

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        """See ``include.scheduler.outlooks.outlook.PastErrors``; None also where the store cannot be read."""
        hour = datetime.fromtimestamp(now_s // 3600 * 3600, tz=self._store.timezone)
        with self._lock:
            if self._hour != hour:  # reading four weeks takes a good part of a second; jobs ask many times an hour
                self._hour, self._found = hour, PastForecasts(self._forecasts(hour))
            found = self._found
        return found.saving_interval_percent(curve, now_s, start_s, duration_s)

    def _forecasts(self, hour: datetime) -> list[PastForecast]:
        origins = (hour - timedelta(days=day) for day in range(1, DAYS + 1))
        try:
            return [past for origin in origins if (past := self._forecast_of(origin)) is not None]
        except LowtideError:
            return []

    def _forecast_of(self, origin: datetime) -> PastForecast | None:
        end = origin + _AHEAD
        forecast = [r for r in self._store.known_at(origin, end, origin) if r.kind is IntensityKind.FORECAST]
        actual = [r for r in self._store.known_now(origin, end) if r.kind is not IntensityKind.FORECAST]
        if not forecast or not actual:
            return None
        return PastForecast(origin_s=origin.timestamp(), forecast=_curve(forecast), actual=_curve(actual))


def _curve(readings: list[Reading]) -> IntensityCurve:
    return IntensityCurve.from_readings(readings)
