"""One run's part of ``report.json``."""

from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from include.records import (
    Counterfactual,
    EmissionFactorType,
    EmissionsInterval,
    EnergyTotals,
    IntensityKind,
    SciScore,
    Settlement,
    SignalType,
    TrainingRecord,
)
from include.records.accounts import Frozen

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class RunFigures(Frozen):
    """One record's figures and where they come from; names and units are the record's."""

    run_id: str
    configuration: str
    zone: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    policy: str
    submitted_at: AwareDatetime
    started_at: AwareDatetime
    ended_at: AwareDatetime
    wait_s: _Finite
    duration_s: _Finite
    train_duration_s: _Finite
    attempts: int
    device: str
    device_name: str
    precision: str
    micro_batch_size: int
    accumulation_steps: int
    effective_batch_size: int
    seed: int
    epochs: int
    samples: int
    test_accuracy: _Finite
    test_samples: Annotated[int | None, Field(description="null = the record does not know")] = None
    energy_kwh: EnergyTotals
    energy_train_kwh: _Finite
    measuring_scope: str
    pue: _Finite
    emissions_gco2eq: _Finite
    emissions_train_gco2eq: _Finite
    mean_carbon_intensity_gco2eq_per_kwh: _Finite
    intensity_kinds: dict[IntensityKind, _Finite]
    foreign_signal_share: _Finite
    counterfactual: Counterfactual | None
    settlement: Settlement | None
    uncertainty: EmissionsInterval | None
    sci: SciScore | None
    peak_memory_bytes: int
    peak_memory_kind: str
    peak_memory_method: str
    ledger_path: str
    ledger_sha256: str

    @classmethod
    def of(cls, record: TrainingRecord) -> Self:
        """Take over a record's figures unchanged."""
        return cls.model_validate({name: getattr(record, name) for name in cls.model_fields})
