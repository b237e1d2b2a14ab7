"""What may be counted as avoided: by waiting, where the record carries it; by efficiency, where the run's report claims it."""

import json
import math
from dataclasses import dataclass, replace
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
from include.report.savings.model import Basis, Repeatability
from include.report.text.figures import percent_text
from include.report.waits.queue import queue_reason
from include.report.waits.wait import waiting_of

_NOT_ASKED = "there is no report of this run; its compare task, or `lowtide compare`, writes one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """Grams, with bounds where they are known; None with the reasons where nothing may be counted."""

    gco2eq: float | None = None
    low_gco2eq: float | None = None
    high_gco2eq: float | None = None
    reasons: tuple[str, ...] = ()
    repeatability_percent: float | None = None


def avoided_by_waiting(record: TrainingRecord, basis: Basis, *, waited: bool | None, queued_s: float = 0.0) -> Avoided:
    """Return what the same-run counterfactual says: this run's own energy, had it begun at submission.

    :param waited: whether it waited for the grid; None = its decisions were not kept.
    :param queued_s: how long it stood in a queue after the decision to start.
    """
    if waited is False and record.policy != "immediate":
        return Avoided(reasons=("the run did not wait for the grid, by its decisions; a queue is no saving",))
    reasons = _waiting_barred(record, basis) or ([queue_reason(queued_s)] if queued_s else [])
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
    pue: float
    samples: int
    ledger_sha256: str

    @property
    def energy_per_sample_kwh(self) -> float:
        """After PUE; 0 without a sample."""
        return self.energy_kwh.total * self.pue / self.samples if self.samples else 0.0


class _Headline(_Lenient):
    status: str


class _Ours(_Lenient):
    parts: tuple[str, ...]


class _Difference(_Lenient):
    label: str
    bars: str


class _Fairness(_Lenient):
    differences: tuple[_Difference, ...]


class _Repeats(_Lenient):
    baselines: tuple[_Side, ...]
    runs: tuple[_Side, ...]


class _Comparison(_Lenient):
    """What is needed of ``report.json``; a report of before 1.2 does not say what it claims, and has no ``ours``."""

    headline: _Headline
    ours: _Ours | None = None
    fairness: _Fairness | None = None
    repeats: _Repeats | None = None
    baseline: _Side | None
    run: _Side
    repeatability_percent: float | None = None


def avoided_by_efficiency(report: Path, record: TrainingRecord, *, repeatability: Repeatability) -> Avoided:
    """Return the energy that the baseline's energy per sample would have taken beyond the run's, at the run's own intensity.

    Not the efficiency's part of the change: that is weighed by the baseline's emissions too, and after a cleaner week would
    be more grams than the run could have emitted at all. Only where the run's report claims efficiency, and where its own
    change is beyond the repeatability it was written with: the noise of one baseline is in every run that is held against it, and adds up.
    """
    try:
        found = _Comparison.model_validate(json.loads(report.read_bytes()))
    except FileNotFoundError:
        return Avoided(reasons=(_NOT_ASKED,))
    except (OSError, ValueError, ValidationError):
        return Avoided(reasons=("its report cannot be read",))
    percent = repeatability.of(found.repeatability_percent)
    return replace(_by_efficiency(found, record, percent), repeatability_percent=percent)


def _by_efficiency(found: _Comparison, record: TrainingRecord, repeatability_percent: float) -> Avoided:
    if reasons := _not_claimed(found, record):
        return Avoided(reasons=tuple(reasons))
    before, now = _mean_energy_per_sample_kwh(found), found.run.energy_per_sample_kwh
    if not before or not now:
        return Avoided(reasons=("there is no energy per sample to compare",))
    if abs(now / before - 1.0) <= repeatability_percent / 100.0:
        change = percent_text(repeatability_percent)
        return Avoided(reasons=(f"its energy per sample has no measurable change (within {change})",))
    return Avoided(gco2eq=record.emissions_gco2eq * (before / now - 1.0))


def _baselines(found: _Comparison) -> tuple[_Side, ...]:
    if found.repeats is not None:
        return found.repeats.baselines
    return () if found.baseline is None else (found.baseline,)


def _mean_energy_per_sample_kwh(found: _Comparison) -> float:
    sides = _baselines(found)
    return math.fsum(side.energy_per_sample_kwh for side in sides) / len(sides) if sides else 0.0


def _not_claimed(found: _Comparison, record: TrainingRecord) -> list[str]:
    if found.run.ledger_sha256 != record.ledger_sha256:
        return ["its report tells of another account than its record; clear its compare task to renew it"]
    if found.headline.status != "claimed":
        return [f"its report's status is {found.headline.status}"]
    if found.fairness is None or found.baseline is None:
        return ["its report is of an earlier version, which does not say what it claims; clear its compare task"]
    if found.repeats is not None and len(found.repeats.runs) > 1:
        return ["its report is about several runs, not about this one"]
    counted = found.ours is not None and "efficiency" in found.ours.parts
    return _efficiency_barred(found, found.fairness) or ([] if counted else ["its report does not count efficiency"])


def _efficiency_barred(found: _Comparison, fairness: _Fairness) -> list[str]:
    reasons = [f"{d.label} differs from the baseline's" for d in fairness.differences if d.bars != "nothing"]
    for side, who in (*((baseline, "baseline") for baseline in _baselines(found)), (found.run, "run")):
        stand_in: Any = side  # the rule reads the energy and its methods only
        reasons += estimated_energy_reasons(stand_in, who)
    return list(dict.fromkeys(reasons))
