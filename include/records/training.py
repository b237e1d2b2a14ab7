"""The training record: what a run leaves in ``record.json`` and as the XCom of ``train``."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field

from include.records.accounts import (
    Counterfactual,
    EmissionsInterval,
    NonNegative,
    SciScore,
    Settlement,
)
from include.records.accounts import (
    Frozen as _Frozen,
)
from include.records.intensity import EmissionFactorType, IntensityKind, SignalType

RECORD_SCHEMA_VERSION: Final = "1.1"
READABLE_SCHEMA_VERSIONS: Final = ("1.0", RECORD_SCHEMA_VERSION)
"""1.1 added the machine's energy, whether the energy is complete, the GPUs, the settlement, the uncertainty, the score,
the training's warnings and the number of test samples.

All of them have defaults in the model, so that a record of 1.0 is read as it stands."""


class ReplayAnchor(_Frozen):
    """The one link between real and virtual time under replay: virtual = virtual_start + speed x (real - real_start)."""

    real_start: AwareDatetime
    virtual_start: AwareDatetime
    speed: Annotated[float, Field(gt=0)]

    def virtual(self, real: datetime) -> datetime:
        """Return the virtual moment of a real one."""
        return self.virtual_start + (real - self.real_start) * self.speed

    def real(self, virtual: datetime) -> datetime:
        """Return the real moment of a virtual one."""
        return self.real_start + (virtual - self.virtual_start) / self.speed

    def real_duration(self, virtual: timedelta) -> timedelta:
        """Return how long a virtual duration takes on the clock on the wall."""
        return virtual / self.speed


class EnergyTotals(_Frozen):
    """Energy in kWh before PUE; ``methods`` says per component how it was obtained."""

    total: NonNegative
    cpu: NonNegative
    gpu: NonNegative
    ram: NonNegative
    methods: dict[Literal["cpu", "gpu", "ram"], Literal["rapl", "nvml", "tdp_estimate", "constant", "none", "replayed"]]


class MachineEnergy(_Frozen):
    """Energy in kWh before PUE of the whole machine over a run's rows, whoever used it; for GPUs, of the selected ones."""

    total: NonNegative
    cpu: NonNegative
    gpu: NonNegative
    ram: NonNegative


class Interruption(_Frozen):
    """A gap in the ledger, between two attempts; no energy is booked in it. Times as the ledger's, virtual under replay."""

    attempt: Annotated[int, Field(ge=2, description="the attempt that ended it")]
    start: AwareDatetime
    end: AwareDatetime
    resumed_from_optimizer_step: Annotated[int, Field(ge=0, description="of the checkpoint; 0 = from the beginning")]


class TrainingRecord(_Frozen):
    """One run's figures. Times are UTC; under replay ``submitted_at``, ``started_at`` and ``ended_at`` are virtual."""

    schema_version: Literal["1.0", "1.1"] = RECORD_SCHEMA_VERSION
    run_id: str
    comparison_key: Annotated[
        str, Field(description="model, data, zone and effective batch: runs are compared only where equal")
    ]
    configuration: Annotated[str, Field(description="the configuration file and its SHA-256, with settings applied")]
    zone: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    policy: str
    submitted_at: AwareDatetime
    started_at: AwareDatetime
    ended_at: AwareDatetime
    wait_s: Annotated[NonNegative, Field(description="from submission to the training's start; virtual under replay")]
    duration_s: Annotated[NonNegative, Field(description="real seconds, of all attempts together")]
    train_duration_s: NonNegative
    attempts: Annotated[int, Field(ge=1)]
    interruptions: tuple[Interruption, ...] = ()
    replay: ReplayAnchor | None
    device: str
    device_name: str
    precision: Literal["fp32", "bf16", "fp16"]
    micro_batch_size: Annotated[int, Field(ge=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    effective_batch_size: Annotated[int, Field(ge=1)]
    seed: int
    epochs: int
    optimizer_steps: int
    samples: Annotated[int, Field(ge=0, description="training samples processed, each epoch counted")]
    train_loss: float
    test_accuracy: Annotated[float, Field(ge=0, le=1, description="share of the test set classified right, 0 to 1")]
    test_samples: Annotated[
        int | None, Field(ge=1, description="samples in the test set; null = an older version did not record it")
    ] = None
    energy_kwh: EnergyTotals
    machine_energy_kwh: Annotated[
        MachineEnergy | None,
        Field(description="upper bound of energy_kwh; null where it is not known for every row"),
    ] = None
    energy_complete: Annotated[
        bool, Field(description="false: energy that the run used is missing from the figures; problems says what")
    ] = True
    uncovered_s: Annotated[
        NonNegative | None,
        Field(
            description="real seconds, at most, that no row covers: the ends of killed attempts, gaps; null = unknown"
        ),
    ] = 0.0
    gpu_devices: Annotated[tuple[str, ...], Field(description="UUIDs of the GPUs whose energy counts")] = ()
    energy_train_kwh: NonNegative
    measuring_scope: Annotated[
        Literal["machine", "process_tree", "replayed"],
        Field(description="process_tree: CPU and RAM by the run's share of CPU time and of memory in use"),
    ]
    pue: Annotated[float, Field(ge=1)]
    emissions_gco2eq: NonNegative
    emissions_train_gco2eq: NonNegative
    mean_carbon_intensity_gco2eq_per_kwh: NonNegative
    intensity_kinds: Annotated[
        dict[IntensityKind, NonNegative], Field(description="share of the energy booked at each kind; sums to 1")
    ]
    foreign_signal_share: Annotated[
        NonNegative,
        Field(description="share of the energy booked at another signal or emission factor type than this record's"),
    ]
    counterfactual: Counterfactual | None
    settlement: Annotated[Settlement | None, Field(description="null = all is as first booked")] = None
    uncertainty: Annotated[EmissionsInterval | None, Field(description="from the methods' published errors")] = None
    sci: SciScore | None = None
    peak_memory_bytes: Annotated[int, Field(ge=0)]
    peak_memory_kind: Literal["cuda_allocated", "rss_above_base"]
    peak_memory_method: Annotated[str, Field(description="how the peak was seen, e.g. by the kernel's high-water mark")]
    peak_memory_reserved_bytes: int | None
    base_rss_bytes: Annotated[int, Field(ge=0)]
    problems: Annotated[
        tuple[str, ...], Field(description="what went wrong with the measuring, mended or not, in sentences")
    ]
    warnings: Annotated[
        tuple[str, ...],
        Field(
            description="what the training warned of in any attempt: memory that ran out, an option that fell back ..."
        ),
    ] = ()
    ledger_path: str
    ledger_sha256: str
    versions: Annotated[
        dict[str, str],
        Field(
            description="lowtide, python, torch, codecarbon, the device's name, and the GPU driver's where there is one"
        ),
    ]
