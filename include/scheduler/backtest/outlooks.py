"""What could be known at each moment of a backtest, and nothing more; all jobs that look at one moment share one outlook."""

from collections.abc import Callable
from datetime import UTC, datetime

from include.records import EmissionFactorType, IntensityKind, Reading, SignalType
from include.scheduler.backtest.truth import Truth
from include.scheduler.outlooks.outlook import Outlook, Prediction, Trailing

Predict = Callable[[datetime], Prediction | None]
Recall = Callable[[datetime], Trailing | None]


class Outlooks:
    """Outlooks by the step of the trace that holds the moment: nothing that is known changes within a step.

    :param predict: the forecast made when a step begins, from what had ended by then; None for policies that want none.
    :param recall: what was known then over the days before.
    """

    def __init__(self, truth: Truth, zone: str, *, predict: Predict | None, recall: Recall) -> None:
        self._truth = truth
        self._zone = zone
        self._predict = predict
        self._recall = recall
        self._by_row: dict[int, Outlook] = {}

    def __call__(self, now: datetime) -> Outlook:
        """Return what is known at a moment."""
        row = self._truth.row_of(now.timestamp())
        outlook = self._by_row.get(row)
        if outlook is None:
            outlook = self._by_row[row] = self._look(row)
        return outlook

    def forget_before(self, moment_s: float) -> None:
        """Drop what no later job will ask for: the memory in use does not grow with the years."""
        first = self._truth.row_of(moment_s)
        for row in [row for row in self._by_row if row < first]:
            del self._by_row[row]

    def _look(self, row: int) -> Outlook:
        truth = self._truth
        start = datetime.fromtimestamp(truth.start_s + row * truth.step_s, UTC)
        reading = Reading(
            zone=self._zone,
            start=start,
            end=datetime.fromtimestamp(truth.start_s + (row + 1) * truth.step_s, UTC),
            carbon_intensity_gco2eq_per_kwh=float(truth.values[row]),
            source="trace",
            kind=IntensityKind.REPLAYED,
            signal_type=SignalType.AVERAGE,
            emission_factor_type=EmissionFactorType.LIFECYCLE,
        )
        # what had ended when this step began: at any moment within the step that is all there is
        prediction = None if self._predict is None else self._predict(start)
        return Outlook(reading=reading, prediction=prediction, trailing=self._recall(start))
