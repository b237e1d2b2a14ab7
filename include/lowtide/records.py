"""The training record: what a run leaves in ``record.json`` and as the XCom of ``train``."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from lowtide.errors import ArtifactError, InvalidAnswer
from lowtide.io import read_json_lines, sha256_of
from lowtide.timeutil import as_utc, format_time, parse_time, utc_now

# What the grid emitted per kWh in an interval, and how anyone knows.


class IntensityKind(StrEnum):
    """How a figure came about; the kinds are never merged."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    FORECAST = "forecast"
    CACHED = "cached"
    MODELLED = "modelled"
    REPLAYED = "replayed"


class SignalType(StrEnum):
    """Average and marginal intensities are never compared with one another."""

    AVERAGE = "average"
    MARGINAL = "marginal"


class EmissionFactorType(StrEnum):
    """Lifecycle and direct (combustion only) factors are never compared with one another."""

    LIFECYCLE = "lifecycle"
    DIRECT = "direct"


Meaning = tuple[SignalType, EmissionFactorType]
Timestamp = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(format_time)]

_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class JsonFields:
    """A dataclass that is written as plain JSON and read back."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping that ``from_json`` reads."""
        written: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json")
        return written

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``as_json`` wrote; other keys, such as those of later versions, are ignored.

        :raises ValueError: a key is missing, or a value cannot be read.
        """
        try:
            read: Self = _adapter(cls).validate_python(data)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        except (InvalidAnswer, TypeError) as error:  # TypeError: a time that is no text
            raise ValueError(str(error)) from None
        return read


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong in one phrase: the key, and why its value cannot be read."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(JsonFields):
    """The intensity of one zone over ``[start, end)``, with its origin.

    :raises InvalidAnswer: negative or non-finite intensity, naive times, or an interval that does not run forwards.
    """

    zone: str
    start: Timestamp
    end: Timestamp
    carbon_intensity_gco2eq_per_kwh: float
    source: str
    kind: IntensityKind
    signal_type: SignalType
    emission_factor_type: EmissionFactorType

    def __post_init__(self) -> None:
        value = self.carbon_intensity_gco2eq_per_kwh
        if not math.isfinite(value) or value < 0:
            raise InvalidAnswer(
                f"{self.source} gave {value!r} g/kWh for zone {self.zone}; an intensity is finite and >= 0"
            )
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise InvalidAnswer(f"{self.source} gave an interval from {self.start} to {self.end} for zone {self.zone}")

    def covers(self, time: datetime) -> bool:
        """Return whether a time is in ``[start, end)``."""
        return self.start <= time < self.end

    @property
    def meaning(self) -> Meaning:
        """What its grams mean: those of two readings are compared only where it is equal."""
        return self.signal_type, self.emission_factor_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Readings of the hours to come, oldest first, without overlap; may be short, may have gaps.

    :raises InvalidAnswer: empty, unsorted, overlapping, or mixed in zone or meaning.
    """

    issued_at: datetime
    readings: tuple[Reading, ...]

    def __post_init__(self) -> None:
        if not self.readings:
            raise InvalidAnswer("a forecast without a single value")
        first = self.readings[0]
        for earlier, later in zip(self.readings, self.readings[1:], strict=False):
            if later.start < earlier.end:
                raise InvalidAnswer(
                    f"{first.source} gave a forecast for {first.zone} that is unsorted or overlaps at {later.start}"
                )
        if any(r.zone != first.zone or r.meaning != first.meaning for r in self.readings):
            raise InvalidAnswer(f"{first.source} gave a forecast that mixes zones or factor types")

    @property
    def horizon(self) -> datetime:
        """The end of the last interval."""
        return self.readings[-1].end


# Parts of a record that say how good its figures are: first valuation, settlement, uncertainty, score.


NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1.000001)]
FunctionalUnit = Literal["run", "epoch", "1000_samples"]


class Frozen(BaseModel):
    """Unknown keys are refused, and nothing is changed once it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Counterfactual(Frozen):
    """This run's own energy curve, as if it had begun at submission, valued at what is known of the grid from then on."""

    start: AwareDatetime
    carbon_intensity_gco2eq_per_kwh: NonNegative
    emissions_gco2eq: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]


class FirstValuation(Frozen):
    """What the run's emissions were known to be when it ended; the record's own figures are as known now."""

    as_of: Annotated[AwareDatetime, Field(description="real time; intensities learnt later do not count")]
    emissions_gco2eq: NonNegative
    mean_carbon_intensity_gco2eq_per_kwh: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]


class Settlement(Frozen):
    """Better intensities came in after the run had ended, and part of its energy is valued at them."""

    settled_at: Annotated[AwareDatetime, Field(description="when the newest of them was learnt; real time")]
    settled_energy_share: Annotated[Share, Field(description="share of the energy that is valued at them")]
    sources: Annotated[tuple[str, ...], Field(description="whose figures")]


class EmissionsInterval(Frozen):
    """Between which bounds the figures lie if every method errs as far as its published errors go."""

    energy_low_kwh: NonNegative
    energy_high_kwh: NonNegative
    emissions_low_gco2eq: NonNegative
    emissions_high_gco2eq: NonNegative
    basis: Annotated[tuple[str, ...], Field(description="each method's share, its error and where that is published")]


class SciScore(Frozen):
    """Software Carbon Intensity, ISO/IEC 21031:2024: (O + M) per R. Location-based; O includes the site's PUE."""

    gco2eq_per_unit: NonNegative
    functional_unit: Annotated[FunctionalUnit, Field(description="R")]
    units: Annotated[float, Field(gt=0, description="how many of R this run is")]
    operational_gco2eq: Annotated[NonNegative, Field(description="O")]
    embodied_gco2eq: Annotated[
        NonNegative | None, Field(description="M, this run's part; null = not given, so the score is of O alone")
    ]


RECORD_SCHEMA_VERSION: Final = "2.0"


class ReplayAnchor(Frozen):
    """The one link between real and virtual time under replay: virtual = virtual_start + speed x (real - real_start)."""

    real_start: AwareDatetime
    virtual_start: AwareDatetime
    speed: Annotated[float, Field(gt=0)]

    def virtual(self, real: datetime) -> datetime:
        """Return the virtual time of a real one."""
        return self.virtual_start + (real - self.real_start) * self.speed

    def real(self, virtual: datetime) -> datetime:
        """Return the real time of a virtual one."""
        return self.real_start + (virtual - self.virtual_start) / self.speed


@dataclass(frozen=True, slots=True)
class Clock:
    """Policy time: real time without an anchor, else anchored at one real time and ``anchor.speed`` times as fast."""

    anchor: ReplayAnchor | None = None

    def now(self) -> datetime:
        """Return the present policy time, aware, UTC."""
        return self.anchor.virtual(utc_now()) if self.anchor else utc_now()

    def seconds_until(self, time: datetime) -> float:
        """Return the real seconds until a policy time; 0.0 once it has passed."""
        return max(0.0, (time - self.now()).total_seconds() / (self.anchor.speed if self.anchor else 1.0))


class MachineEnergy(Frozen):
    """Energy in kWh before PUE of the whole machine over a run's rows, whoever used it; for GPUs, of the selected ones."""

    total: NonNegative
    cpu: NonNegative
    gpu: NonNegative
    ram: NonNegative


class EnergyTotals(MachineEnergy):
    """Energy in kWh before PUE; ``methods`` says per component how it was obtained."""

    methods: dict[Literal["cpu", "gpu", "ram"], Literal["rapl", "nvml", "tdp_estimate", "constant", "none", "replayed"]]


class Interruption(Frozen):
    """A gap in the ledger, between two attempts; no energy is counted in it. Times as the ledger's, virtual under replay."""

    attempt: Annotated[int, Field(ge=2, description="the attempt that ended it")]
    start: AwareDatetime
    end: AwareDatetime
    resumed_from_optimizer_step: Annotated[int, Field(ge=0, description="of the checkpoint; 0 = from the beginning")]


class RunAccount(Frozen):
    """What a record says of a run whether it finished or not. Times are UTC; under replay, those of the run are virtual."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    schema_version: Literal["2.0"] = RECORD_SCHEMA_VERSION
    run_id: str
    comparison_key: str
    """model, data, zone and effective batch: runs are compared only where equal"""
    configuration: Annotated[str, Field(description="the configuration file and its SHA-256, with settings applied")]
    zone: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    policy: str
    submitted_at: AwareDatetime
    started_at: AwareDatetime
    ended_at: Annotated[AwareDatetime, Field(description="end of the last row")]
    wait_s: Annotated[NonNegative, Field(description="from submission to the training's start; virtual under replay")]
    duration_s: Annotated[NonNegative, Field(description="real seconds, of all attempts together")]
    attempts: Annotated[int, Field(ge=1)]
    interruptions: tuple[Interruption, ...] = ()
    replay: ReplayAnchor | None
    effective_batch_size: Annotated[int, Field(ge=1)]
    seed: int
    energy_kwh: EnergyTotals
    machine_energy_kwh: MachineEnergy | None = None
    """upper bound of energy_kwh; null where it is not known for every row"""
    uncovered_s: NonNegative | None = 0.0
    """real seconds, at most, that no row covers: the ends of killed attempts, gaps; null = unknown"""
    gpu_devices: Annotated[tuple[str, ...], Field(description="UUIDs of the GPUs whose energy counts")] = ()
    energy_train_kwh: NonNegative
    measuring_scope: Literal["machine", "process_tree", "replayed"]
    """process_tree: CPU and RAM by the run's share of CPU time and of memory in use"""
    pue: Annotated[float, Field(ge=1)]
    emissions_gco2eq: NonNegative
    emissions_train_gco2eq: NonNegative
    mean_carbon_intensity_gco2eq_per_kwh: NonNegative
    intensity_kinds: dict[IntensityKind, NonNegative]
    """share of the valued energy at each kind; sums to 1 unless no energy is valued"""
    foreign_signal_share: NonNegative
    """share of the energy of which only another signal or emission factor type is known; unvalued"""
    counterfactual: Counterfactual | None = None
    unvalued_energy_kwh: NonNegative = 0.0
    """energy of times of which no intensity is known; in no emissions"""
    first_valuation: FirstValuation
    settlement: Settlement | None = None
    """null = no better intensity was learnt after the run's end"""
    uncertainty: Annotated[EmissionsInterval | None, Field(description="from the methods' published errors")] = None
    problems: tuple[str, ...]
    """what went wrong with the measuring, repaired or not, in sentences"""
    warnings: tuple[str, ...] = ()
    """what the training warned of in any attempt: memory that ran out, an option that fell back ..."""
    ledger_path: str
    ledger_sha256: str
    versions: dict[str, str]
    """lowtide, python, torch, codecarbon, the device's name, and the GPU driver's where there is one"""

    def real(self, time: datetime) -> datetime:
        """Return the real time, in UTC, of a time of this run."""
        return as_utc(time if self.replay is None else self.replay.real(time))


class TrainingFigures(Frozen):
    """The figures of one finished training; durations in seconds, memory in bytes.

    ``train_loss`` is the mean loss per sample over the last epoch. ``train_duration_s`` covers the optimizer steps only,
    neither start-up nor evaluation. ``peak_memory_bytes`` counts data, model, gradients, optimizer state and activations:
    what CUDA allocated, or by how much the resident set rose above ``base_rss_bytes`` (its size after all imports).
    """

    train_duration_s: NonNegative
    device: str
    device_name: str
    precision: Literal["fp32", "bf16", "fp16"]
    micro_batch_size: Annotated[int, Field(ge=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    optimizer_steps: Annotated[int, Field(ge=1)]
    samples: Annotated[int, Field(ge=1, description="training samples processed, each epoch counted")]
    train_loss: Annotated[float, Field(allow_inf_nan=False)]
    test_accuracy: Annotated[float, Field(ge=0, le=1, description="share of the test set classified right, 0 to 1")]
    test_samples: Annotated[int | None, Field(ge=1, description="samples in the test set; null = not recorded")] = None
    peak_memory_bytes: Annotated[int, Field(ge=0)]
    peak_memory_kind: Literal["cuda_allocated", "rss_above_base"]
    peak_memory_method: Annotated[str, Field(description="how the peak was seen, e.g. by the kernel's high-water mark")]
    peak_memory_reserved_bytes: int | None
    base_rss_bytes: Annotated[int, Field(ge=0)]


class TrainingRecord(TrainingFigures, RunAccount):
    """The record of a run that finished, and its result."""

    samples: Annotated[int, Field(ge=0, description="training samples processed, each epoch counted")]
    energy_complete: bool = True
    """false: energy that the run used is missing from the figures; problems says what"""
    sci: SciScore | None = None


class IncompleteRecord(RunAccount):
    """The record of a run that did not finish: what it used and emitted. What a result would say is null."""

    complete: Annotated[Literal[False], Field(description="a training record has no such key")] = False
    device: None = None
    precision: str
    micro_batch_size: Annotated[int | None, Field(ge=1, description="null: it was to be found (auto)")]
    accumulation_steps: Annotated[int | None, Field(ge=1)]
    epochs: None = None
    samples: None = None
    test_accuracy: None = None
    test_samples: None = None
    energy_complete: Literal[False] = False
    sci: None = None
    peak_memory_bytes: None = None
    peak_memory_kind: None = None
    peak_memory_reserved_bytes: None = None
    base_rss_bytes: None = None


def is_unfinished(data: Any) -> bool:
    """Whether the content of a ``record.json`` is the account of a run that did not finish."""
    return isinstance(data, dict) and data.get("complete") is False


AnyRecord = TrainingRecord | IncompleteRecord


def read_record(file: Path) -> AnyRecord:
    """Read a ``record.json``: of a finished run, or the account of one that did not finish.

    :raises ArtifactError: missing, unreadable, not JSON, of another schema version, or not a record.
    """
    try:
        content = file.read_bytes()
        data = json.loads(content)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{file}: there is no such record; give the folder of a finished run") from None
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror}); check the path and its permissions") from None
    except (ValueError, RecursionError) as error:  # bad JSON, or bytes that are no text
        raise ArtifactError(f"{file}: is not JSON ({error}); the file is damaged, repeat the run") from None
    if not isinstance(data, dict):
        raise ArtifactError(f"{file}: is not a training record but a JSON {type(data).__name__}; give a run's folder")
    model = IncompleteRecord if is_unfinished(data) else TrainingRecord
    version = data.get("schema_version")
    if version != RECORD_SCHEMA_VERSION:
        raise ArtifactError(
            f"{file}: schema_version is {version!r}, but this version of Lowtide reads {RECORD_SCHEMA_VERSION!r}; repeat"
            " the run, or read it with the version that wrote it"
        )
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(f"{file}: is not a training record: {first_fault(error)}; repeat the run") from None


def load_record(path: Path) -> TrainingRecord:
    """Read the ``record.json`` of a finished run, given as the file or as the run's folder.

    :raises ArtifactError: as ``read_record``, an unfinished run, or a record beside another ledger.
    """
    file = path / "record.json" if path.is_dir() else path
    record = read_record(file)
    if not isinstance(record, TrainingRecord):
        raise ArtifactError(
            f"{file}: is the account of a run that did not finish, which cannot be compared; train it to its end in the"
            " same folder, or export it"
        )
    ledger = file.parent / "ledger.jsonl"
    if ledger.exists() and sha256_of(ledger) != record.ledger_sha256:
        raise ArtifactError(f"{ledger} has changed since its record was written; restore it, or measure the run again")
    return record


# One row of the energy ledger: what was used in an interval. What the grid was like then is in ``intensity.jsonl``.


LEDGER_SCHEMA_VERSION: Final = "2.0"
"""2.0: energy only."""


class Phase(StrEnum):
    """What the training child was doing; the headline includes all, train-only is reported beside it."""

    STARTUP = "startup"
    TRAIN = "train"
    CHECKPOINT = "checkpoint"
    EVALUATE = "evaluate"


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""Digits in quotes are no figure."""
RowEnergy = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow(JsonFields):
    """Energy of one interval in kWh before PUE, even over the interval.

    Under replay ``start`` and ``end`` are virtual times; ``monotonic_s`` (at the row's end) is always real.
    The energy is what the run is charged; ``machine_...`` is all of the machine's in the interval (for GPUs: the selected
    ones'), its upper bound, and is left out of the line where it is not known.
    """

    start: Timestamp
    end: Timestamp
    phase: Phase
    attempt: int
    monotonic_s: Number
    cpu_energy_kwh: RowEnergy
    gpu_energy_kwh: RowEnergy
    ram_energy_kwh: RowEnergy
    machine_cpu_energy_kwh: RowEnergy | None = None
    machine_gpu_energy_kwh: RowEnergy | None = None
    machine_ram_energy_kwh: RowEnergy | None = None

    @property
    def energy_kwh(self) -> float:
        """CPU, GPU and RAM together."""
        return self.cpu_energy_kwh + self.gpu_energy_kwh + self.ram_energy_kwh

    def as_json_line(self) -> str:
        """Return the row's energy as one line of JSON, with the line's end."""
        data = _adapter(LedgerRow).dump_python(self, mode="json")  # of a valued row too, the energy alone
        return json.dumps({key: value for key, value in data.items() if value is not None}, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedRow(LedgerRow):
    """A row, or a part of one, at the one intensity (g/kWh) that is known best of its time; emissions in g, with PUE.

    Derived, never written to the ledger.
    """

    carbon_intensity_gco2eq_per_kwh: float
    intensity_kind: IntensityKind
    intensity_source: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    emissions_gco2eq: float
    learnt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIntensity:
    """One line of ``intensity.jsonl``: a reading of the grid, and when it was learnt (real time)."""

    reading: Reading
    learnt_at: datetime

    def as_json_line(self) -> str:
        """Return the entry as one line of JSON, with the line's end."""
        return json.dumps(self.reading.as_json() | {"learnt_at": format_time(self.learnt_at)}, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read one entry, as ``Reading.from_json`` does."""
        return cls(reading=Reading.from_json(data), learnt_at=parse_time(data["learnt_at"]))


INTENSITY_NAME: Final = "intensity.jsonl"


def read_intensity(folder: Path) -> tuple[list[KnownIntensity], list[str]]:
    """Return what a run's folder knows of the grid, oldest first, and one sentence for each line that cannot be read."""
    problems: list[str] = []
    return [*_entries(folder / INTENSITY_NAME, KnownIntensity.from_json, "an intensity", problems)], problems


def _entries(path: Path, read: Callable[[dict[str, Any]], Any], what: str, problems: list[str]) -> Iterator[Any]:
    for data in read_json_lines(path, problems):
        try:
            yield read(data)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}: a line is not {what} ({type(error).__name__}: {error}) and is left out")


# The decisions about a run's wait and its pauses, one a line in ``decisions.jsonl``: what of them a reader needs later.


DECISIONS_NAME: Final = "decisions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision(JsonFields):
    """One decision: run, wait, pause, skip or fail, why, and the figures it rests on. Times are policy time."""

    decided_at: Timestamp
    action: str
    reason: str
    text: str
    deadline: Timestamp | None
    reading: Reading | None
    threshold_gco2eq_per_kwh: float | None = None


def decision_files(folder: Path) -> tuple[Path, ...]:
    """Return the decision files of a training, the earlier one first.

    The sensor before a mapped task is not mapped: the decisions about the wait of an instance (``RUN~3``) are in the folder of
    its run (``RUN``), those about its pauses in its own.
    """
    run, mark, index = folder.name.rpartition("~")
    beside = (folder.with_name(run) / DECISIONS_NAME,) if mark and run and index.isdecimal() else ()
    return (*beside, folder / DECISIONS_NAME)


def newest_decisions(*paths: Path) -> Iterator[RecordedDecision]:
    """Yield the decisions in these files from the last one back; each line is read when it is asked for, torn ones are not.

    :param paths: as ``decision_files`` gives them; a missing file has no decisions.
    """
    for path in reversed(paths):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            continue
        for line in reversed(lines):
            try:
                yield RecordedDecision.from_json(json.loads(line))
            except ValueError:
                continue


def read_decisions(*paths: Path) -> tuple[list[RecordedDecision], list[str]]:
    """Return the decisions in these files in time order, and one sentence for each line that cannot be read.

    :param paths: as ``decision_files`` gives them; a missing file has no decisions.
    """
    problems: list[str] = []
    decisions = [one for path in paths for one in _entries(path, RecordedDecision.from_json, "a decision", problems)]
    return sorted(decisions, key=lambda decision: decision.decided_at), problems


# Lines of the ledger that are no rows: they open and close an attempt, so that a reader can tell what is missing.


class LedgerEventKind(StrEnum):
    """What happened to an attempt."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent(JsonFields):
    """An attempt began or ended. ``at`` is real time, also under replay; ``monotonic_s`` is the clock of the rows.

    An opening says in ``details`` what the run is about (so a ledger stands alone), a closing how many rows the attempt
    has and what they sum to (so that a row that was taken out is missed).
    """

    event: LedgerEventKind
    attempt: int
    at: Timestamp
    monotonic_s: float
    schema_version: str = LEDGER_SCHEMA_VERSION
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json_line(self) -> str:
        """Return the event as one line of JSON, with the line's end."""
        return json.dumps(self.as_json() | {"details": dict(self.details)}, allow_nan=False) + "\n"
