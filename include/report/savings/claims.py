"""What may be counted as avoided: by waiting, where the record carries it; by efficiency, where the run's report claims it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from include.records import EnergyTotals, TrainingRecord
from include.report.evidence import (
    counterfactual_reasons,
    estimated_energy_reasons,
    forecast_reasons,
    foreign_signal_reasons,
    incomplete_energy_reasons,
)
from include.report.figures import percent_text
from include.report.savings.model import Basis
from include.report.waiting import waiting_of

_NOT_ASKED = "there is no report of this run; its compare task, or `lowtide compare`, writes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """Grams, with bounds where they are known; None with the reasons where nothing may be counted."""

    gco2eq: float | None = None
    low_gco2eq: float | None = None
    high_gco2eq: float | None = None
    reasons: tuple[str, ...] = ()


def avoided_by_waiting(record: TrainingRecord, basis: Basis) -> Avoided:
    """Return what the same-run counterfactual says: this run's own energy, had it begun at submission."""
    reasons = _waiting_barred(record, basis)
    if reasons:
        return Avoided(reasons=tuple(reasons))
    found = waiting_of(record)
    return Avoided(
        gco2eq=found.avoided_gco2eq, low_gco2eq=found.avoided_low_gco2eq, high_gco2eq=found.avoided_high_gco2eq
    )


def _waiting_barred(record: TrainingRecord, basis: Basis) -> list[str]:
    if basis == "simulated" and record.policy != "immediate" and record.counterfactual is not None:
        return incomplete_energy_reasons(
            record, "run"
        )  # a simulation is told as one, and never added to what was measured
    rules = (forecast_reasons, foreign_signal_reasons, incomplete_energy_reasons)
    return [reason for rule in rules for reason in rule(record, "run")] + counterfactual_reasons(record)


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Side(_Lenient):
    energy_kwh: EnergyTotals
    ledger_sha256: str


class _Headline(_Lenient):
    status: str


class _Ours(_Lenient):
    parts: tuple[str, ...]
    change_percent: float


class _Difference(_Lenient):
    label: str
    bars: str


class _Fairness(_Lenient):
    differences: tuple[_Difference, ...]


class _Parts(_Lenient):
    efficiency: float | None


class _Interval(_Lenient):
    low: float
    high: float


class _Repeats(_Lenient):
    baselines: tuple[_Side, ...]
    runs: tuple[_Side, ...]
    ours_percent: _Interval | None


class _Comparison(_Lenient):
    """What is needed of ``report.json``; a report of before 1.2 does not say what it claims, and has no ``ours``."""

    headline: _Headline
    attribution_gco2eq: _Parts
    ours: _Ours | None = None
    fairness: _Fairness | None = None
    repeats: _Repeats | None = None
    baseline: _Side | None
    run: _Side


def avoided_by_efficiency(report: Path, record: TrainingRecord, *, repeatability_percent: float) -> Avoided:
    """Return the efficiency's part of the change against the baseline, in grams, where the run's report claims it."""
    try:
        found = _Comparison.model_validate(json.loads(report.read_bytes()))
    except FileNotFoundError:
        return Avoided(reasons=(_NOT_ASKED,))
    except (OSError, ValueError, ValidationError):
        return Avoided(reasons=("its report cannot be read",))
    reasons = _not_claimed(found, record, repeatability_percent)
    part = found.attribution_gco2eq.efficiency
    if reasons or part is None:
        return Avoided(reasons=tuple(reasons or ["its report attributes nothing to efficiency"]))
    return Avoided(gco2eq=-part)


def _not_claimed(found: _Comparison, record: TrainingRecord, repeatability_percent: float) -> list[str]:
    if found.run.ledger_sha256 != record.ledger_sha256:
        return ["its report tells of another account than its record; clear its compare task to renew it"]
    if found.headline.status != "claimed":
        return [f"its report's status is {found.headline.status}"]
    if found.ours is None or found.fairness is None or found.baseline is None:
        return ["its report is of an earlier version, which does not say what it claims; clear its compare task"]
    if found.repeats is not None and len(found.repeats.runs) > 1:
        return ["its report is about several runs, not about this one"]
    return [*_efficiency_barred(found), *_not_measurable(found.ours, found.repeats, repeatability_percent)]


def _efficiency_barred(found: _Comparison) -> list[str]:
    reasons = [
        f"{d.label} differs from the baseline's"
        for d in (found.fairness or _Fairness(differences=())).differences
        if d.bars != "nothing"
    ]
    baselines = found.repeats.baselines if found.repeats else [found.baseline]
    for side, who in (*((baseline, "baseline") for baseline in baselines), (found.run, "run")):
        stand_in: Any = side  # the rule reads the energy and its methods only
        reasons += estimated_energy_reasons(stand_in, who)
    return list(dict.fromkeys(reasons))


def _not_measurable(ours: _Ours, repeats: _Repeats | None, repeatability_percent: float) -> list[str]:
    """Several baselines say by their own spread what can be measured, in place of the repeatability that is assumed."""
    if "efficiency" not in ours.parts:
        return ["its report does not count efficiency"]
    interval = repeats.ours_percent if repeats else None
    if interval is not None:
        return (
            ["its report sees no measurable change (its interval holds zero)"]
            if interval.low <= 0 <= interval.high
            else []
        )
    if abs(ours.change_percent) <= repeatability_percent:
        return [f"its report sees no measurable change (within {percent_text(repeatability_percent)})"]
    return []
