"""Which data support a claim about a run: shares of its energy, by how energy and intensity were obtained."""

from collections.abc import Callable, Mapping
from typing import Final

from lowtide.records import AnyRecord, IntensityKind, TrainingRecord
from lowtide.units import percent_text

CLAIM_LIMIT_SHARE = 0.05
"""A share of the energy above this rules out the claim."""

_NEGLIGIBLE_GAP_SHARE = 0.01
"""Of a run's duration, without rows; a third of the change that counts as measurable by default."""

_ROUNDING_SHARE = 1e-9
"""Of the energy; what the difference of two sums may leave."""

_SIMULATED = (IntensityKind.MODELLED, IntensityKind.REPLAYED)
_UNSETTLED = (IntensityKind.FORECAST, IntensityKind.CACHED)
_ESTIMATED_METHODS = ("tdp_estimate", "constant")


def simulated_reasons(record: AnyRecord, who: str) -> list[str]:
    """Say where modelled or replayed intensity, or replayed energy, carries more than the limit."""
    share = _share_of_kinds(record.intensity_kinds, _SIMULATED)
    reasons = []
    if share > CLAIM_LIMIT_SHARE:
        kinds = " and ".join(k.value for k in _SIMULATED if record.intensity_kinds.get(k, 0.0) > 0)
        reasons.append(f"{percent_text(100 * share)} of the {who}'s energy is valued at {kinds} intensity")
    replayed = _share_of_methods(record, ("replayed",))
    if replayed > CLAIM_LIMIT_SHARE or record.measuring_scope == "replayed":
        reasons.append(f"the {who}'s energy is replayed, not measured")
    return reasons


def forecast_reasons(record: AnyRecord, who: str) -> list[str]:
    """Say where forecast or cached intensity carries more than the limit: settled only when the grid's figures are in.

    A cached reading is a fallback for hours without an answer; it may itself have been a forecast.
    """
    share = unsettled_share(record.intensity_kinds)
    if share <= CLAIM_LIMIT_SHARE:
        return []
    kinds = " and ".join(k.value for k in _UNSETTLED if record.intensity_kinds.get(k, 0.0) > 0)
    return [f"{percent_text(100 * share)} of the {who}'s energy is valued at {kinds} intensity, not yet settled"]


def unvalued_energy_reasons(record: AnyRecord, who: str) -> list[str]:
    """Say where a part of the energy has no emissions, since no intensity of the record's own types is known of it."""
    missing = missing_emissions_text(record)
    return [f"the {who}'s emissions are incomplete: {missing}"] if missing else []


def missing_emissions_text(record: AnyRecord) -> str:
    """Return which shares of the energy are in no emissions, and why; empty where all of it is valued."""
    foreign = record.foreign_signal_share
    unknown = record.unvalued_energy_kwh / record.energy_kwh.total - foreign if record.energy_kwh.total else 0.0
    own = f"{record.signal_type}, {record.emission_factor_type}"
    parts = []
    if foreign > 0:
        parts.append(
            f"of {percent_text(100 * foreign)} of its energy only another signal or factor type than {own} is known"
        )
    if unknown > _ROUNDING_SHARE:
        parts.append(f"of {percent_text(100 * unknown)} of its energy no intensity is known")
    return " and ".join(parts)


def incomplete_energy_reasons(record: TrainingRecord, who: str) -> list[str]:
    """Say where a part of the energy is missing; the last seconds of a killed attempt of hours are negligible."""
    uncovered_s = record.uncovered_s
    known = uncovered_s is not None and uncovered_s <= _NEGLIGIBLE_GAP_SHARE * record.duration_s
    if record.energy_complete or known:
        return []
    return [f"energy that the {who} used is missing from its figures (see its problems)"]


Rule = Callable[[TrainingRecord, str], list[str]]
"""Why a record supports no claim, given the name of its run in a sentence; empty where it does."""
UNSOUND: Final[tuple[Rule, ...]] = (forecast_reasons, unvalued_energy_reasons, incomplete_energy_reasons)
"""What bars every claim about a run."""


def estimated_energy_reasons(record: AnyRecord, who: str) -> list[str]:
    """Say where energy from a TDP or a constant carries more than the limit: it supports no efficiency claim."""
    share = _share_of_methods(record, _ESTIMATED_METHODS)
    if share <= CLAIM_LIMIT_SHARE:
        return []
    methods = record.energy_kwh.methods
    parts = ", ".join(f"{part}: {how}" for part, how in methods.items() if how in _ESTIMATED_METHODS)
    return [f"{percent_text(100 * share)} of the {who}'s energy is estimated, not measured ({parts})"]


def unsettled_share(kinds: Mapping[IntensityKind, float]) -> float:
    """Return the share valued at forecasts or cached readings, which actual figures of the grid still replace."""
    return _share_of_kinds(kinds, _UNSETTLED)


def unsure_share(kinds: Mapping[IntensityKind, float]) -> float:
    """Return the share valued at anything but actual figures of the grid."""
    return _share_of_kinds(kinds, (*_SIMULATED, *_UNSETTLED))


def _share_of_kinds(kinds: Mapping[IntensityKind, float], wanted: tuple[IntensityKind, ...]) -> float:
    return sum(kinds.get(kind, 0.0) for kind in wanted)


def _share_of_methods(record: AnyRecord, wanted: tuple[str, ...]) -> float:
    energy = record.energy_kwh
    if not energy.total:
        return 0.0
    parts = {"cpu": energy.cpu, "gpu": energy.gpu, "ram": energy.ram}
    return sum(parts[part] for part, method in energy.methods.items() if method in wanted) / energy.total
