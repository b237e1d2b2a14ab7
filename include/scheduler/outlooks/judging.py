"""How sure a decision's expected saving is, from what earlier predictions of its kind were worth.

A step of its own: whoever shows a decision to a person takes it, the decision itself does not hang on it and stays quick.
"""

from dataclasses import replace

from include.scheduler.job import Job
from include.scheduler.outcome import Decision
from include.scheduler.outlooks.outlook import Outlook


def judged(decision: Decision, job: Job, outlook: Outlook) -> Decision:
    """Return the decision with the interval of its expected saving, in its figures and in its text.

    Unchanged where nothing is expected to be saved, where the plan has several pieces, and where past errors cannot tell.
    """
    prediction, start = outlook.prediction, decision.planned_start
    if prediction is None or prediction.past_errors is None or start is None or len(decision.segments) != 1:
        return decision
    if not decision.expected_saving_percent or decision.forecast_source != prediction.source:
        return decision
    interval = prediction.past_errors.saving_interval_percent(
        prediction.curve, decision.decided_at.timestamp(), start.timestamp(), job.remaining.total_seconds()
    )
    if interval is None:
        return decision
    low, high = interval
    text = f"{decision.text}; going by its past errors it saves {low:.0f} to {high:.0f} % in four of five cases"
    return replace(decision, expected_saving_interval_percent=interval, text=text)
