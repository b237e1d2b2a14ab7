"""The account of a run that did not finish: what it used and emitted, without a result. Also kept in ``record.json``."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from include.records.accounts import Counterfactual, EmissionsInterval, Frozen, NonNegative, SciScore, Settlement
from include.records.intensity import EmissionFactorType, IntensityKind, SignalType
from include.records.training import EnergyTotals, MachineEnergy, ReplayAnchor


class IncompleteRecord(Frozen):
    """Read back from the ledger alone. Names and units are those of the training record; what a result would say is null."""

    schema_version: Literal["1.1"] = "1.1"
    complete: Annotated[Literal[False], Field(description="a training record has no such key")] = False
    run_id: str
    comparison_key: str
    configuration: str
    zone: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    policy: str
    submitted_at: AwareDatetime
    started_at: AwareDatetime
    ended_at: Annotated[AwareDatetime, Field(description="end of the last row")]
    duration_s: NonNegative
    attempts: Annotated[int, Field(ge=1)]
    replay: ReplayAnchor | None
    device: None = None
    precision: str
    micro_batch_size: Annotated[int | None, Field(ge=1, description="null: it was to be found (auto)")]
    accumulation_steps: Annotated[int | None, Field(ge=1)]
    effective_batch_size: Annotated[int, Field(ge=1)]
    seed: int
    epochs: None = None
    samples: None = None
    test_accuracy: None = None
    test_samples: None = None
    energy_kwh: EnergyTotals
    machine_energy_kwh: Annotated[
        MachineEnergy | None, Field(description="upper bound of energy_kwh; null where it is not known for every row")
    ] = None
    energy_train_kwh: NonNegative
    energy_complete: Literal[False] = False
    uncovered_s: Annotated[
        NonNegative | None,
        Field(
            description="real seconds, at most, that no row covers, if the file was not touched since; null = unknown"
        ),
    ] = None
    gpu_devices: tuple[str, ...] = ()
    measuring_scope: Literal["machine", "process_tree", "replayed"]
    pue: Annotated[float, Field(ge=1)]
    emissions_gco2eq: NonNegative
    emissions_train_gco2eq: NonNegative
    mean_carbon_intensity_gco2eq_per_kwh: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]
    foreign_signal_share: NonNegative
    counterfactual: Counterfactual | None = None
    settlement: Settlement | None = None
    uncertainty: EmissionsInterval | None
    sci: SciScore | None = None
    peak_memory_bytes: None = None
    peak_memory_kind: None = None
    peak_memory_reserved_bytes: None = None
    base_rss_bytes: None = None
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    ledger_path: str
    ledger_sha256: str
    versions: dict[str, str]


def tells_of_an_unfinished_run(data: Any) -> bool:
    """Whether the content of a ``record.json`` is the account of a run that did not finish."""
    return isinstance(data, dict) and data.get("complete") is False
