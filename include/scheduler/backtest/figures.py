"""The figures of one combination: what its jobs emitted per useful kWh, against starting at once and perfect knowledge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from include.scheduler.backtest.combination import Combination
from include.scheduler.backtest.plan import Plan
from include.scheduler.backtest.truth import Floats

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What became of the jobs of one combination, one value a job; intensities in g per useful kWh."""

    run_now: Floats
    policy: Floats
    oracle: Floats
    wait_s: Floats
    overrun_s: Floats
    segments: Floats


def result_of(plan: Plan, combination: Combination, outcomes: Outcomes) -> dict[str, Any]:
    """Return one combination's figures, as JSON has them; None where there was no job, or nothing to save."""
    run_now, policy, oracle = (_mean(v) for v in (outcomes.run_now, outcomes.policy, outcomes.oracle))
    saving, possible = _saving_percent(policy, run_now), _saving_percent(oracle, run_now)
    return {
        "zone": plan.zone,
        "policy": combination.policy,
        "duration_h": combination.duration_s / HOUR_S,
        "slack_h": combination.slack_s / HOUR_S,
        "submit": plan.submit,
        "interruptible": combination.interruptible,
        "jobs": len(outcomes.run_now),
        "run_now_gco2eq_per_kwh": run_now,
        "policy_gco2eq_per_kwh": policy,
        "oracle_gco2eq_per_kwh": oracle,
        "saving_percent": saving,
        "oracle_saving_percent": possible,
        "captured_percent": share_percent(saving, possible),
        "mean_wait_h": _hours(_mean(outcomes.wait_s)),
        "p95_wait_h": _hours(float(np.percentile(outcomes.wait_s, 95)) if len(outcomes.wait_s) else None),
        "deadline_misses": int((outcomes.overrun_s > 1.0).sum()),
        "mean_segments": _mean(outcomes.segments),
    }


class Pooled(NamedTuple):
    """Several lines together: mean savings in percent, and the sum of savings over the sum of the oracle's."""

    saving: float | None
    oracle: float | None
    captured: float | None


def pooled(results: Sequence[dict[str, Any]]) -> Pooled:
    """Return what lines come to together; a line without a saving is passed over."""
    known = [(r["saving_percent"], r["oracle_saving_percent"]) for r in results if r["saving_percent"] is not None]
    if not known:
        return Pooled(None, None, None)
    saving, oracle = (sum(column) / len(known) for column in zip(*known, strict=True))
    return Pooled(saving, oracle, share_percent(saving, oracle))


def share_percent(part: float | None, whole: float | None) -> float | None:
    """Return 100 x part / whole; None where either is missing or there is no whole to speak of."""
    return None if part is None or whole is None or abs(whole) < 1e-9 else 100.0 * part / whole


def _saving_percent(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else 100.0 * (1.0 - value / reference)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / HOUR_S
