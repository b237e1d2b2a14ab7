"""``report.json``: a run beside its baseline, what changed, why, and how far to trust it."""

from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

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

REPORT_SCHEMA_VERSION: Final = "1.1"

Status = Literal["claimed", "simulated", "withheld", "no_baseline"]
Direction = Literal["lower", "higher", "no_measurable_change"]

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Change = Annotated[float | None, Field(allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Headline(_Frozen):
    """What may be said; plain text, escaped only where it is rendered."""

    status: Status
    direction: Direction | None
    text: str
    reasons: tuple[str, ...]


class Changes(_Frozen):
    """Run against baseline, negative = less; null without a baseline or where the two are not comparable."""

    emissions_percent: _Change = None
    energy_percent: _Change = None
    mean_intensity_percent: _Change = None
    peak_memory_percent: _Change = None
    accuracy_points: Annotated[_Change, Field(description="percentage points of the test set classified right")] = None
    duration_percent: _Change = None


class AttributionParts(_Frozen):
    """LMDI-I parts of the change in grams, negative = less; without a baseline only ``waiting`` is known."""

    work: _Change = None
    efficiency: _Change = None
    grid_conditions: _Change = None
    waiting: _Change = None
    total: _Change = None


class Waiting(_Frozen):
    """The same-run counterfactual: this run's own energy curve, had it begun at submission. Needs no baseline."""

    wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    avoided_gco2eq: Annotated[
        _Change, Field(description="counterfactual minus actual emissions; negative = waiting added emissions")
    ] = None
    avoided_percent: Annotated[_Change, Field(description="of the counterfactual's emissions")] = None


class RunFigures(_Frozen):
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


class Report(_Frozen):
    """One comparison."""

    schema_version: Literal["1.1"] = REPORT_SCHEMA_VERSION
    generated_at: AwareDatetime
    run_id: str
    baseline_run_id: str | None
    headline: Headline
    changes: Changes
    attribution_gco2eq: AttributionParts
    waiting: Waiting
    baseline: RunFigures | None
    run: RunFigures
    notes: tuple[str, ...]
