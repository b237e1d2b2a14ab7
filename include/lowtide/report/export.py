"""One CSV line a run: CodeCarbon's columns with CodeCarbon's units and meanings, then Lowtide's own.

CodeCarbon 3 counts the PUE into every power and energy, and writes emissions in kg and the time of the end without an offset
(here in UTC). What is not known is an empty cell, never a zero. CodeCarbon appends only to a file that has its columns and no
others.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Literal

import yaml

from lowtide.config.zones import find_zone
from lowtide.records import AnyRecord, IntensityKind, TrainingRecord
from lowtide.report.data_quality import missing_emissions_text
from lowtide.timeutil import format_time
from lowtide.units import GRAMS_PER_KG, JOULES_PER_KWH

CODECARBON_COLUMNS = (  # noqa: SIM905 ninety lines of one word each are no better to read
    "timestamp project_name run_id experiment_id duration emissions emissions_rate cpu_power gpu_power"
    " ram_power cpu_energy gpu_energy ram_energy energy_consumed water_consumed country_name country_iso_code"
    " region cloud_provider cloud_region os python_version codecarbon_version cpu_count cpu_model gpu_count"
    " gpu_model longitude latitude ram_total_size tracking_mode cpu_utilization_percent"
    " gpu_utilization_percent ram_utilization_percent ram_used_gb on_cloud pue wue"
).split()
"""Of CodeCarbon 3.3.2, in its order."""

_TAKEN_OVER = (  # noqa: SIM905 as above
    "zone submitted_at started_at ended_at wait_s policy configuration comparison_key device device_name precision"
    " micro_batch_size accumulation_steps effective_batch_size seed epochs samples test_accuracy attempts measuring_scope"
    " uncovered_s emissions_gco2eq emissions_train_gco2eq mean_carbon_intensity_gco2eq_per_kwh signal_type"
    " emission_factor_type peak_memory_bytes peak_memory_kind ledger_sha256 problems warnings"
).split()
"""Of a record, by its names and in its units."""


def csv_text(accounts: Iterable[AnyRecord], *, project_name: str = "lowtide", codecarbon_only: bool = False) -> str:
    """Return the file's text, with a header and one line a run.

    :param codecarbon_only: leave out Lowtide's columns, so that CodeCarbon can append to the file.
    """
    rows = [codecarbon_row(account, project_name) | lowtide_row(account) for account in accounts]
    columns = dict.fromkeys(CODECARBON_COLUMNS if codecarbon_only else chain(CODECARBON_COLUMNS, *rows))
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def codecarbon_row(account: AnyRecord, project_name: str) -> dict[str, Any]:
    """Return a run in CodeCarbon's columns and units; columns of what is not known are left out."""
    zone = find_zone(account.zone)
    kg = account.emissions_gco2eq / GRAMS_PER_KG
    row = {
        "timestamp": f"{account.real(account.ended_at):%Y-%m-%dT%H:%M:%S}",  # a dashboard's axis is the wall clock
        "project_name": project_name,
        "run_id": account.run_id,
        "experiment_id": account.comparison_key,
        "duration": account.duration_s,
        "emissions": kg,
        "emissions_rate": kg / account.duration_s if account.duration_s else 0.0,
        "country_name": zone.name,
        "country_iso_code": zone.country,
        "region": zone.key,
        "on_cloud": "N",  # CodeCarbon's word for "not known to be one"; its dashboard stumbles over an empty cell
        "python_version": account.versions.get("python"),
        "codecarbon_version": account.versions.get("codecarbon"),
        "tracking_mode": "process" if account.measuring_scope == "process_tree" else "machine",
        "pue": account.pue,
        **_energies(account),
    }
    if isinstance(account, TrainingRecord):
        row["gpu_model" if account.device == "cuda" else "cpu_model"] = account.device_name
    return row


def lowtide_row(account: AnyRecord) -> dict[str, Any]:
    """Return the columns that Lowtide adds."""
    methods = account.energy_kwh.methods
    settlement, score, bounds = account.settlement, account.sci, account.uncertainty
    taken_over = {name: _cell(getattr(account, name, None)) for name in _TAKEN_OVER}
    whole = isinstance(account, TrainingRecord) and account.energy_complete and not missing_emissions_text(account)
    return {"complete": whole, **taken_over} | {
        "energy_before_pue_kwh": account.energy_kwh.total,
        "machine_energy_before_pue_kwh": account.machine_energy_kwh and account.machine_energy_kwh.total,
        "unvalued_energy_before_pue_kwh": account.unvalued_energy_kwh,
        "energy_low_kwh": bounds and bounds.energy_low_kwh,
        "energy_high_kwh": bounds and bounds.energy_high_kwh,
        **{f"{part}_energy_method": methods.get(part, "none") for part in ("cpu", "gpu", "ram")},
        **{f"{kind}_share": account.intensity_kinds.get(kind) for kind in IntensityKind},
        "emissions_low_gco2eq": bounds and bounds.emissions_low_gco2eq,
        "emissions_high_gco2eq": bounds and bounds.emissions_high_gco2eq,
        "first_valuation_gco2eq": account.first_valuation.emissions_gco2eq,
        "settled_at": settlement and format_time(settlement.settled_at),
        "counterfactual_gco2eq": account.counterfactual and account.counterfactual.emissions_gco2eq,
        "sci_gco2eq_per_unit": score and score.gco2eq_per_unit,
        "sci_functional_unit": score and score.functional_unit,
        "sci_embodied_gco2eq": score and score.embodied_gco2eq,
    }


def _energies(account: AnyRecord) -> dict[str, float]:
    energy, duration_s = account.energy_kwh, account.duration_s
    figures = {"energy_consumed": energy.total * account.pue}
    for part, kwh in (("cpu", energy.cpu), ("gpu", energy.gpu), ("ram", energy.ram)):
        figures[f"{part}_energy"] = kwh * account.pue
        figures[f"{part}_power"] = kwh * account.pue * JOULES_PER_KWH / duration_s if duration_s else math.nan
    return figures


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(str, value))
    return value


# The block ``co2_eq_emissions`` of a Hugging Face model card: https://huggingface.co/docs/hub/model-cards-co2 (grams).


TrainingType = Literal["pre-training", "fine-tuning"]
"""As the Hub knows them."""


def model_card_block(account: AnyRecord, *, training_type: TrainingType = "pre-training") -> dict[str, Any]:
    """Return the card's metadata: what was emitted, how that was measured, where and on what hardware."""
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


def model_card_text(account: AnyRecord, *, training_type: TrainingType = "pre-training") -> str:
    """Return the block between the card's dashes, to be put at the top of a README.md, or merged into what is there."""
    block = model_card_block(account, training_type=training_type)
    return f"---\n{yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def _source(account: AnyRecord) -> str:
    kinds = ", ".join(f"{100 * share:.1f} % {kind.value}" for kind, share in account.intensity_kinds.items())
    bounds = account.uncertainty
    within = (
        f"; between {bounds.emissions_low_gco2eq:.4g} and {bounds.emissions_high_gco2eq:.4g} g by the methods' known errors"
        if bounds
        else ""
    )
    missing, unfinished = missing_emissions_text(account), ""
    if not isinstance(account, TrainingRecord):
        unfinished = "; the run did not finish"
    elif not account.energy_complete:
        unfinished = f"; a part of its energy is missing: {'; '.join(account.problems)}"
    if missing:
        unfinished += f"; its emissions are incomplete: {missing}"
    return (
        f"Lowtide: CodeCarbon's energy, interval by interval, times the grid's {account.signal_type.value} carbon intensity"
        f" ({account.emission_factor_type.value} factors; {kinds}), PUE {account.pue:g}, location-based{within}{unfinished}"
    )


# Records as JSON: one object for one run, a list for several; each as in ``record.json``, which has a published schema.


def json_text(accounts: Sequence[AnyRecord]) -> str:
    """Return the text with a final newline."""
    values = [account.model_dump(mode="json") for account in accounts]
    return json.dumps(values[0] if len(values) == 1 else values, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
