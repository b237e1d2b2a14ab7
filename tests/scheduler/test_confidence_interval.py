"""How sure a saving is: a step of its own after the decision, from what earlier predictions were worth."""

from dataclasses import dataclass, replace
from typing import Any

from lowtide.grid.outlook import Outlook
from lowtide.grid.series import IntensityCurve
from lowtide.scheduler.decision import decide, with_confidence_interval
from lowtide.scheduler.types import Decision

from tests.support.grid import HOUR, T0, job, prediction

JOB = job(policy="window", minimum_gain_percent=0.0)


@dataclass(frozen=True)
class Wide:
    """Ten points to each side of what the curve promises; says nothing of blocks of more than three hours."""

    def saving_interval_percent(
        self, curve: IntensityCurve, now_s: float, start_s: float, duration_s: float
    ) -> tuple[float, float] | None:
        now, block = (curve.mean_over(at, at + duration_s) for at in (now_s, start_s))
        if now is None or block is None or duration_s > 3 * 3600:
            return None
        return 100 * (1 - block / now) - 10, 100 * (1 - block / now) + 10


def seen(**changes: Any) -> Outlook:
    return Outlook(prediction=prediction([300.0] * 3 + [150.0] * 20, **{"past_errors": lambda now: Wide()} | changes))


def test_an_expected_saving_gets_its_interval_in_figures_and_in_words() -> None:
    decision = with_confidence_interval(decide(JOB, T0, seen()), JOB, seen())
    assert decision.expected_saving_percent == 50.0
    assert decision.expected_saving_interval_percent == (40.0, 60.0)
    assert decision.text.endswith("expected saving 40 to 60 % (80 % interval from past forecast errors)")
    assert Decision.from_json(decision.as_json()) == decision


def test_what_past_errors_do_not_know_stays_as_it_is() -> None:
    for outlook, waiting in (
        (seen(past_errors=None), JOB),
        (Outlook(), JOB),
        (seen(), replace(JOB, expected_duration=4 * HOUR)),
        (seen(), replace(JOB, policy="immediate")),
    ):
        decision = decide(waiting, T0, outlook)
        assert with_confidence_interval(decision, waiting, outlook) == decision
    starting = decide(JOB, T0 + 3 * HOUR, seen())
    assert with_confidence_interval(starting, JOB, seen()) == starting


def test_a_plan_in_pieces_gets_no_interval_of_a_block() -> None:
    pausing = job(policy="interruptible", expected_duration=4 * HOUR, deadline=T0 + 12 * HOUR, minimum_gain_percent=0.0)
    outlook = Outlook(prediction=prediction([300, 100, 300, 300, 100, 300, 300, 100, 300, 100, 300, 300.0]))
    decision = decide(pausing, T0, outlook)
    assert len(decision.segments) > 1
    assert with_confidence_interval(decision, pausing, outlook) == decision
