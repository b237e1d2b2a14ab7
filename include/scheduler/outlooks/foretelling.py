"""Adds to an outlook what planning policies go by: one prediction of the hours to come, and the days before."""

from dataclasses import replace
from datetime import datetime

from include.errors import LowtideError
from include.scheduler.curves.blending import prolonged, provider_curve
from include.scheduler.outlooks.foresight import Foresight
from include.scheduler.outlooks.outlook import Outlook, PastErrors, Prediction, Wanted


class Foreteller:
    """Makes a prediction of the provider's forecast, the history's, or both.

    :param foresight: what this signal's own past says; None where it has none.
    :param provider_errors: how good the provider's forecasts were; None where they are not stored.
    """

    def __init__(self, foresight: Foresight | None, provider_errors: PastErrors | None = None) -> None:
        self._foresight = foresight
        self._provider_errors = provider_errors

    def foretold(self, outlook: Outlook, now: datetime, wanted: Wanted, provider: str) -> Outlook:
        """Return the outlook with what is wanted beside the reading; a history that cannot be used is one of its steps."""
        if self._foresight is None or not (wanted.prediction or wanted.trailing):
            return replace(outlook, prediction=self._of_provider(outlook, provider)) if wanted.prediction else outlook
        try:
            trailing = self._foresight.trailing(now) if wanted.trailing else None
            own = self._foresight.prediction(now) if wanted.prediction else None
        except LowtideError as error:
            outlook = replace(outlook, steps=(*outlook.steps, f"the history cannot be used: {error}"))
            trailing, own = None, None
        prediction = self._blended(outlook, now, own, provider) if wanted.prediction else None
        return replace(outlook, prediction=prediction, trailing=trailing)

    def _blended(self, outlook: Outlook, now: datetime, own: Prediction | None, provider: str) -> Prediction | None:
        """Return the provider's forecast, prolonged by the history's; without one that holds now, the history's."""
        theirs = self._of_provider(outlook, provider)
        if theirs is None or own is None:
            return theirs or own
        if theirs.curve.value_at(now.timestamp()) is None:
            return own
        if own.curve.end_s <= theirs.curve.end_s:
            return theirs
        return replace(theirs, curve=prolonged(theirs.curve, own.curve), source=f"{provider}, then {own.source}")

    def _of_provider(self, outlook: Outlook, provider: str) -> Prediction | None:
        reading, forecast = outlook.reading, outlook.forecast
        if reading is None or forecast is None:
            return None
        return Prediction(
            curve=provider_curve(reading, forecast),
            source=provider,
            issued_at=forecast.issued_at,
            past_errors=self._provider_errors,
        )
