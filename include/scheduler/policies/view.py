"""What a job can see of the hours to come, and what is wrong with it."""

from datetime import UTC, datetime, timedelta
from math import isnan
from typing import NamedTuple

from include.records import IntensityKind
from include.scheduler.curves.curve import IntensityCurve
from include.scheduler.jitter import delay_s, delayed
from include.scheduler.outlooks.outlook import Prediction
from include.scheduler.policies.look import Look, at

STALE = timedelta(hours=6)
"""A prediction older than this is called so: weather models are run every six hours."""
BRIDGED_S = 3 * 3600.0
"""A gap up to this is taken for the mean of its neighbours; the grid does not do much in three hours."""
CONTRADICTION_SHARE, CONTRADICTION_GCO2EQ_PER_KWH = 0.5, 30.0
"""By how much a reading and the prediction for its moment must differ, both at once, to contradict one another."""
_SLACK_S = 1.0


class View(NamedTuple):
    """A curve of the hours to come that holds now, as a job sees it."""

    curve: IntensityCurve
    earliest_s: float
    """No start before this: now, or later by the job's share of the jitter."""
    words: str
    source: str | None
    """None where hours are ordered only, and no grams are believed."""
    has_grams: bool = False
    remarks: tuple[str, ...] = ()
    is_whole: bool = True
    """Whether it sees all until the latest finish."""
    contradiction: str = ""

    def told(self) -> str:
        """Return what is wrong with it in brackets, or nothing."""
        remarks = (*self.remarks, self.contradiction) if self.contradiction else self.remarks
        return f" ({'; '.join(remarks)})" if remarks else ""


def predicted(look: Look) -> tuple[View | None, str]:
    """Return what the prediction shows, or None and in words why it shows nothing."""
    prediction = look.outlook.prediction
    if prediction is None:
        return None, f"no forecast for {look.job.zone}"
    words = f"the forecast of {prediction.source}"
    curve = prediction.curve if not prediction.curve.has_gaps else bridged(prediction.curve)
    if curve.value_at(look.now_s) is None:
        return None, f"{words} does not cover now, only {_from_to(prediction.curve)}"
    remarks, is_whole = _remarks(look, prediction, curve)
    contradiction = _contradiction(look, prediction, curve)
    curve, earliest_s = _as_seen(look, curve)
    grams = prediction.threshold_comparable
    return View(curve, earliest_s, words, prediction.source, grams, remarks, is_whole, contradiction), ""


def usual_order(look: Look) -> View | None:
    """Return the usual order of the hours as a view; None where there is none for now."""
    shape = look.outlook.shape
    if not shape:
        return None
    curve = IntensityCurve.from_readings(shape)
    if curve.value_at(look.now_s) is None:
        return None
    curve, earliest_s = _as_seen(look, curve)
    return View(curve, earliest_s, "the usual order of hours", None)


def bridged(curve: IntensityCurve) -> IntensityCurve:
    """Return a curve whose short inner gaps are filled with the mean of the values around them."""
    values = list(curve.values)
    i = 0
    while i < len(values):
        j = i
        while j < len(values) and isnan(values[j]):
            j += 1
        if 0 < i < j < len(values) and curve.edges_s[j] - curve.edges_s[i] <= BRIDGED_S:
            values[i:j] = [(values[i - 1] + values[j]) / 2.0] * (j - i)
        i = j + 1
    return IntensityCurve(curve.edges_s, values)


def _as_seen(look: Look, curve: IntensityCurve) -> tuple[IntensityCurve, float]:
    if not look.job.jitter:
        return curve, look.now_s
    by_s = delay_s(look.job, curve, look.now_s)
    return delayed(curve, by_s), max(look.now_s, curve.start_s + by_s)


def _remarks(look: Look, prediction: Prediction, curve: IntensityCurve) -> tuple[tuple[str, ...], bool]:
    finish = look.job.latest_finish
    finish_s = look.now_s if finish is None else finish.timestamp()
    remarks = []
    if look.now - prediction.issued_at > STALE:
        hours = (look.now - prediction.issued_at) / timedelta(hours=1)
        remarks.append(f"it is {hours:.0f} h old")
    is_whole = curve.end_s + _SLACK_S >= finish_s
    if not is_whole and finish is not None:
        remarks.append(f"it ends at {_written(curve.end_s)}, before the latest finish {at(finish)}")
    if prediction.curve.has_gaps:
        gap_s = _gaps_s(prediction.curve, look.now_s, finish_s)
        if gap_s > 0:
            remarks.append(f"{gap_s / 3600:.1f} h of it are missing")
            is_whole = False
    return tuple(remarks), is_whole


def _gaps_s(curve: IntensityCurve, start_s: float, end_s: float) -> float:
    steps = zip(curve.edges_s, curve.edges_s[1:], curve.values, strict=False)
    return sum(max(0.0, min(b, end_s) - max(a, start_s)) for a, b, value in steps if isnan(value))


def _contradiction(look: Look, prediction: Prediction, curve: IntensityCurve) -> str:
    """Return in words how the provider's reading and the prediction contradict one another; empty where they do not."""
    reading, outlook = look.outlook.reading, look.outlook
    if reading is None or not prediction.threshold_comparable or not outlook.threshold_comparable:
        return ""
    if reading.kind in (IntensityKind.CACHED, IntensityKind.MODELLED) or not reading.covers(look.now):
        return ""
    expected, found = curve.value_at(look.now_s) or 0.0, reading.carbon_intensity_gco2eq_per_kwh
    apart = abs(expected - found)
    if apart <= CONTRADICTION_GCO2EQ_PER_KWH or apart <= CONTRADICTION_SHARE * max(expected, found):
        return ""
    return f"it says {expected:.0f} g/kWh for now, the reading {found:.0f}"


def _from_to(curve: IntensityCurve) -> str:
    return f"from {_written(curve.start_s)} to {_written(curve.end_s)}"


def _written(moment_s: float) -> str:
    return at(datetime.fromtimestamp(moment_s, UTC))
