"""One CSV line a run: CodeCarbon's columns with CodeCarbon's units and meanings, then ours.

CodeCarbon 3 counts the PUE into every power and energy, tells emissions in kg and the moment of the end without an offset (here
in UTC). What is not known is an empty cell, never a zero. CodeCarbon itself goes on writing only into a file that has its
columns and no others.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from include.config import find_zone
from include.moments import as_utc, format_moment
from include.records import IncompleteRecord, TrainingRecord
from include.units import GRAMS_PER_KG, JOULES_PER_KWH

Account = TrainingRecord | IncompleteRecord

CODECARBON_COLUMNS = (  # noqa: SIM905 ninety lines of one word each are no better to read
    "timestamp project_name run_id experiment_id duration emissions emissions_rate cpu_power gpu_power"
    " ram_power cpu_energy gpu_energy ram_energy energy_consumed water_consumed country_name country_iso_code"
    " region cloud_provider cloud_region os python_version codecarbon_version cpu_count cpu_model gpu_count"
    " gpu_model longitude latitude ram_total_size tracking_mode cpu_utilization_percent"
    " gpu_utilization_percent ram_utilization_percent ram_used_gb on_cloud pue wue"
).split()
"""Of CodeCarbon 3.3.2, in its order."""

OUR_COLUMNS = (  # noqa: SIM905 ninety lines of one word each are no better to read
    "complete zone submitted_at started_at ended_at wait_s policy configuration comparison_key device"
    " device_name precision micro_batch_size accumulation_steps effective_batch_size seed epochs samples"
    " test_accuracy attempts measuring_scope energy_before_pue_kwh machine_energy_before_pue_kwh uncovered_s"
    " energy_low_kwh energy_high_kwh cpu_energy_method gpu_energy_method ram_energy_method"
    " emissions_gco2eq emissions_low_gco2eq emissions_high_gco2eq emissions_train_gco2eq"
    " mean_carbon_intensity_gco2eq_per_kwh measured_share estimated_share forecast_share cached_share"
    " modelled_share replayed_share signal_type emission_factor_type first_booked_gco2eq settled_at"
    " counterfactual_gco2eq sci_gco2eq_per_unit sci_functional_unit sci_embodied_gco2eq peak_memory_bytes"
    " peak_memory_kind ledger_sha256 problems warnings"
).split()


def csv_text(accounts: Iterable[Account], *, project_name: str = "lowtide", ours: bool = True) -> str:
    """Return the file's text, with a header and one line a run.

    :param ours: also write our columns; without them, CodeCarbon can go on writing into the file.
    """
    columns = [*CODECARBON_COLUMNS, *(OUR_COLUMNS if ours else ())]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for account in accounts:
        writer.writerow(codecarbon_row(account, project_name) | our_row(account))
    return out.getvalue()


def codecarbon_row(account: Account, project_name: str) -> dict[str, Any]:
    """Return a run in CodeCarbon's columns and units; columns that say what is not known are left out."""
    zone = find_zone(account.zone)
    kg = account.emissions_gco2eq / GRAMS_PER_KG
    row = {
        "timestamp": f"{_real(account, account.ended_at):%Y-%m-%dT%H:%M:%S}",
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


def our_row(account: Account) -> dict[str, Any]:
    """Return the columns of ours."""
    methods = account.energy_kwh.methods
    settlement, score, bounds = account.settlement, account.sci, account.uncertainty
    plain = {name: _cell(getattr(account, name)) for name in OUR_COLUMNS if hasattr(account, name)}
    return plain | {
        "complete": isinstance(account, TrainingRecord) and account.energy_complete,
        "energy_before_pue_kwh": account.energy_kwh.total,
        "machine_energy_before_pue_kwh": account.machine_energy_kwh and account.machine_energy_kwh.total,
        "energy_low_kwh": bounds and bounds.energy_low_kwh,
        "energy_high_kwh": bounds and bounds.energy_high_kwh,
        **{f"{part}_energy_method": methods.get(part, "none") for part in ("cpu", "gpu", "ram")},
        **{f"{kind.value}_share": share for kind, share in account.intensity_kinds.items()},
        "emissions_low_gco2eq": bounds and bounds.emissions_low_gco2eq,
        "emissions_high_gco2eq": bounds and bounds.emissions_high_gco2eq,
        "first_booked_gco2eq": settlement and settlement.first_booked.emissions_gco2eq,
        "settled_at": settlement and format_moment(settlement.settled_at),
        "counterfactual_gco2eq": account.counterfactual and account.counterfactual.emissions_gco2eq,
        "sci_gco2eq_per_unit": score and score.gco2eq_per_unit,
        "sci_functional_unit": score and score.functional_unit,
        "sci_embodied_gco2eq": score and score.embodied_gco2eq,
    }


def _energies(account: Account) -> dict[str, float]:
    energy, hours = account.energy_kwh, account.duration_s
    figures = {"energy_consumed": energy.total * account.pue}
    for part, kwh in (("cpu", energy.cpu), ("gpu", energy.gpu), ("ram", energy.ram)):
        figures[f"{part}_energy"] = kwh * account.pue
        figures[f"{part}_power"] = kwh * account.pue * JOULES_PER_KWH / hours if hours else math.nan
    return figures


def _real(account: Account, moment: datetime) -> datetime:
    """Return when something really was: a dashboard's axis is the clock on the wall, also for a replayed run."""
    return as_utc(moment if account.replay is None else account.replay.real(moment))


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(str, value))
    return value
