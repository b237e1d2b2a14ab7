"""The block ``co2_eq_emissions`` of a Hugging Face model card: https://huggingface.co/docs/hub/model-cards-co2 (grams)."""

from typing import Any

import yaml

from include.config import find_zone
from include.records import IncompleteRecord, TrainingRecord

_KEYS = ("pre-training", "fine-tuning")


def model_card_block(
    account: TrainingRecord | IncompleteRecord, *, training_type: str = "pre-training"
) -> dict[str, Any]:
    """Return the card's metadata: what was emitted, by what measure, where and on what.

    :param training_type: ``pre-training`` or ``fine-tuning``, as the Hub knows them.
    :raises ValueError: another training type.
    """
    if training_type not in _KEYS:
        raise ValueError(f"training_type {training_type!r} is unknown to the Hub; give {' or '.join(_KEYS)}")
    zone = find_zone(account.zone)
    hardware = account.device_name if isinstance(account, TrainingRecord) else None
    block = {
        "emissions": account.emissions_gco2eq,
        "source": _source(account),
        "training_type": training_type,
        "geographical_location": f"{zone.name} ({zone.key})",
        "hardware_used": hardware,
    }
    return {"co2_eq_emissions": {key: value for key, value in block.items() if value is not None}}


def model_card_text(account: TrainingRecord | IncompleteRecord, *, training_type: str = "pre-training") -> str:
    """Return the block between the card's dashes, to be put at the top of a README.md, or merged into what is there."""
    block = model_card_block(account, training_type=training_type)
    return f"---\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def _source(account: TrainingRecord | IncompleteRecord) -> str:
    kinds = ", ".join(f"{100 * share:.1f} % {kind.value}" for kind, share in account.intensity_kinds.items())
    bounds = account.uncertainty
    within = (
        f"; between {bounds.emissions_low_gco2eq:.4g} and {bounds.emissions_high_gco2eq:.4g} g by the methods' known errors"
        if bounds
        else ""
    )
    unfinished = "" if isinstance(account, TrainingRecord) else "; the run did not finish"
    if isinstance(account, TrainingRecord) and not account.energy_complete:
        unfinished = f"; a part of its energy is missing: {'; '.join(account.problems)}"
    foreign = (
        f"; {100 * account.foreign_signal_share:.1f} % of the energy at figures of another signal or factor type than that"
        if account.foreign_signal_share > 0
        else ""
    )
    return (
        f"Lowtide: CodeCarbon's energy, interval by interval, times the grid's {account.signal_type.value} carbon intensity"
        f" ({account.emission_factor_type.value} factors; {kinds}{foreign}), PUE {account.pue:g}, location-based{within}{unfinished}"
    )
