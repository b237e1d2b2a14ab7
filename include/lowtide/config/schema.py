"""The sections and keys of a configuration file, with their types, defaults, descriptions and checks."""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError
from lowtide.timeutil import Deadline, Duration, format_duration, parse_duration
from lowtide.units import BYTES_PER_GIB, BYTES_PER_MIB


class Section(BaseModel):
    """Unknown keys are refused, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


FunctionalUnitName = Literal["run", "epoch", "1000_samples"]


class AccountConfig(Section):
    """The Software Carbon Intensity score (ISO/IEC 21031:2024).

    Embodied emissions count only if they are given.
    """

    functional_unit: Annotated[
        FunctionalUnitName, Field(description="what the SCI score is per (R): run, epoch or 1000_samples")
    ] = "run"
    hardware_embodied_gco2eq: Annotated[
        float | None,
        Field(
            ge=0, allow_inf_nan=False, description="embodied emissions of the hardware in g (TE); null = not counted"
        ),
    ] = None
    hardware_lifespan: Annotated[Duration, Field(description="over which they are spread")] = parse_duration("1460d")
    hardware_share: Annotated[
        float, Field(gt=0, le=1, description="share of the hardware that a run reserves (RS)")
    ] = 1.0


AUTO = "auto"
_EFFECTIVE = "effective_batch_size"
_UNITS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": BYTES_PER_MIB,
    "GiB": BYTES_PER_GIB,
}
_TARGET = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class MemoryTarget:
    """A greatest peak: ``share`` of the unaccumulated one, or bytes; exactly one is set."""

    share: float | None = None
    size_bytes: int | None = None

    def limit_bytes(self, unaccumulated_peak_bytes: float) -> float:
        """Return the greatest peak in bytes."""
        if self.size_bytes is not None:
            return self.size_bytes
        return (self.share or 0.0) * unaccumulated_peak_bytes

    def with_margin(self, margin: float) -> "MemoryTarget":
        """Return what a peak must keep within so that one which is by ``margin`` (a share of itself) larger meets the target.

        The whole of the unaccumulated peak needs no margin: nothing larger is asked for.
        """
        if self.size_bytes is not None:
            return MemoryTarget(size_bytes=int(self.size_bytes / (1 + margin)))
        share = self.share or 0.0
        return self if share >= 1 else MemoryTarget(share=share / (1 + margin))


def parse_memory_target(text: object) -> MemoryTarget:
    """Read ``50%``, ``2GiB``, ``500MB`` or a number of bytes.

    :raises ValueError: anything else, zero, or more than 100 %.
    """
    number, unit = _number_and_unit(text)
    if unit == "%" and 0 < number <= 100:
        return MemoryTarget(share=number / 100)
    if unit in _UNITS and number * _UNITS[unit] >= 1:
        return MemoryTarget(size_bytes=int(number * _UNITS[unit]))
    raise ValueError("write a share of the unaccumulated peak like 50%, or a size like 2GiB or 500MB")


def _number_and_unit(text: object) -> tuple[float, str]:
    if isinstance(text, int) and not isinstance(text, bool):
        return float(text), ""
    match = _TARGET.fullmatch(text.strip()) if isinstance(text, str) else None
    return (float(match[1]), match[2]) if match else (0.0, "")


def _checked_target(text: object) -> str:
    parse_memory_target(text)
    return str(text).strip()


def _checked_size(value: object) -> object:
    if value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("it should be a valid integer, at least 1, or auto")


MemoryTargetText = Annotated[str, BeforeValidator(_checked_target)]
# checked as one: a union's own errors would name its branches, which the user did not write
MicroBatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_checked_size)]


def complete_batching(raw: Any) -> Any:
    """Fill in what follows from the other two: the effective batch, or the number of micro-batches that it takes."""
    if not isinstance(raw, dict):
        return raw
    micro, steps, effective = (raw.get(name) for name in ("micro_batch_size", "accumulation_steps", _EFFECTIVE))
    if not _is_count(micro):
        return raw
    if effective is None and _is_count(steps):
        return raw | {_EFFECTIVE: micro * steps}
    if steps is None and _is_count(effective):
        return raw | {"accumulation_steps": math.ceil(effective / micro)}  # check_batching refuses what is uneven
    return raw


def check_batching(micro: int | Literal["auto"], steps: int | None, effective: int | None) -> None:
    """Check that they agree, once each is valid by itself.

    :raises ValueError: too little is said, or too much.
    """
    if micro == AUTO and effective is None:
        raise ValueError("training.micro_batch_size 'auto' needs training.effective_batch_size; add it, e.g. 512")
    if micro == AUTO and steps is not None:
        raise ValueError(
            f"training.micro_batch_size 'auto' decides how often to accumulate; leave out accumulation_steps {steps}"
        )
    if effective is None or (micro != AUTO and steps is None):
        raise ValueError(
            f"training.micro_batch_size {micro} alone does not say how large a step is; add accumulation_steps or"
            " effective_batch_size"
        )
    if isinstance(micro, int) and math.ceil(effective / micro) == steps and effective % micro:
        raise ValueError(
            f"training.effective_batch_size {effective} cannot be cut into equal micro-batches of {micro}; the next smaller"
            f" training.micro_batch_size that divides it is {largest_divisor(effective, most=micro)}"
        )
    if isinstance(micro, int) and micro * (steps or 1) != effective:
        raise ValueError(
            f"training.micro_batch_size {micro} x accumulation_steps {steps} is not effective_batch_size {effective};"
            " leave one of them out"
        )


def largest_divisor(effective_batch_size: int, *, most: int) -> int:
    """Return the largest micro-batch of at most ``most`` samples that an effective batch is a whole number of, at least 1."""
    fewest = math.ceil(effective_batch_size / max(1, min(most, effective_batch_size)))
    steps = next(count for count in range(fewest, effective_batch_size + 1) if effective_batch_size % count == 0)
    return effective_batch_size // steps


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# The grid section of the configuration: which grid, how it is asked, and what counts as clean.


ProviderName = Literal[
    "auto", "neso", "energy_charts", "electricity_maps", "watttime", "carbon_aware_sdk", "replay", "profile"
]
FactorTypeName = Literal["lifecycle", "direct"]
SignalTypeName = Literal["average", "marginal"]


def _as_text(value: object) -> object:
    """Take a region such as 13 without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _known_zone(key: object) -> object:
    if isinstance(key, bool) or not isinstance(key, str):
        raise ValueError(f"write the zone in quotes: YAML read {key!r}, not text")  # noqa: TRY004 pydantic reads ValueError
    try:
        return find_zone(key).key
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


class ReplayConfig(Section):
    """Replays a day of a grid at a speed; without a trace, the zone's typical day from the regional profile."""

    trace: Annotated[
        str | None,
        Field(description="CSV file with timestamp,carbon_intensity_gco2eq_per_kwh; null = the zone's profile"),
    ] = None
    virtual_start: Annotated[
        str, Field(description="where the replay begins; local time of the zone unless it has an offset")
    ]
    speed: Annotated[float, Field(gt=0, le=100_000, description="virtual seconds per real second")] = 1.0


class GridConfig(Section):
    """Which grid, how it is asked, and what counts as clean."""

    zone: Annotated[
        str,
        BeforeValidator(_known_zone),
        Field(description="zone key of Electricity Maps, e.g. GB, or a cloud region, e.g. aws:eu-west-1"),
    ]
    provider: Annotated[
        ProviderName,
        Field(description="whose signal; auto: one without a key, else the one whose key is given, else profile"),
    ] = "auto"
    region: Annotated[
        Annotated[str, Field(min_length=1, max_length=64)] | None,
        BeforeValidator(_as_text),
        Field(description="part of the zone, in the provider's own words; null = the whole"),
    ] = None
    emission_factor_type: Annotated[
        FactorTypeName | None,
        Field(description="lifecycle or direct, where the provider offers both; null = the provider's own"),
    ] = None
    signal_type: Annotated[
        SignalTypeName | None,
        Field(description="average or marginal, where the provider does not say; null = the provider's own"),
    ] = None
    connection: Annotated[
        str | None, Field(min_length=1, description="Airflow connection id of the provider; null = its public address")
    ] = None
    threshold_gco2eq_per_kwh: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="clean means at or below this, in gCO2eq/kWh")
    ] = None
    replay: ReplayConfig | None = None


# The scheduler section of the configuration: when to run.


PolicyName = Literal["immediate", "threshold", "percentile", "window", "interruptible"]
OnLatestStart = Literal["start", "skip", "fail"]


def _days_to_a_year(window: timedelta) -> timedelta:
    if not timedelta(days=1) <= window <= timedelta(days=366):
        raise ValueError("a window holds at least a whole day and at most a year; write e.g. 7d")
    return window


class PausingConfig(Section):
    """What a pause costs, and how many there may be; used by the policy ``interruptible``."""

    minimum_slice: Annotated[Duration, Field(description="shortest run between two pauses")] = parse_duration("30m")
    resume_time: Annotated[Duration, Field(description="time that a resume takes before work resumes")] = (
        parse_duration("2m")
    )
    resume_energy: Annotated[Duration, Field(description="energy of a pause and its resume, as time at full power")] = (
        parse_duration("2m")
    )
    maximum_pauses: Annotated[int, Field(ge=0, le=1000, description="a job is not paused more often than this")] = 10


class SchedulerConfig(Section):
    """When to run."""

    policy: Annotated[
        PolicyName,
        Field(
            description="immediate: start at once; threshold, percentile: wait until the grid is clean; window: best block"
            " before the deadline; interruptible: best blocks, with pauses between them"
        ),
    ]
    deadline: Annotated[
        Deadline | None,
        Field(description="latest finish: '06:00' (zone's time), '12h' after submission, or a time with an offset"),
    ] = None
    on_latest_start: Annotated[
        OnLatestStart, Field(description="what to do when waiting longer would miss the deadline")
    ] = "start"
    expected_duration: Annotated[Duration, Field(description="how long the training takes")]
    learn_duration: Annotated[
        bool, Field(description="expect what earlier runs of the same training took, once there are three")
    ] = False
    duration_margin: Annotated[
        float, Field(ge=0, le=10, description="safety added to expected_duration, as a share")
    ] = 0.1
    poke_interval: Annotated[Duration, Field(description="time between two checks of the grid")] = parse_duration("5m")
    failure_budget: Annotated[
        int, Field(ge=1, le=1000, description="failed checks in a row before the fallback decides")
    ] = 3
    minimum_gain_percent: Annotated[float, Field(ge=0, lt=100, description="do not wait for less than this")] = 2.0
    run_now_below_gco2eq_per_kwh: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="start at once at or below this, whatever is still to come"),
    ] = None
    percentile: Annotated[
        float, Field(gt=0, lt=100, description="clean means at or below this percentile of the window; for percentile")
    ] = 30.0
    percentile_window: Annotated[
        Duration,
        AfterValidator(_days_to_a_year),
        Field(description="the days before now that it is taken from"),
    ] = parse_duration("7d")
    jitter: Annotated[
        Duration | None,
        Field(description="starts are spread over this by the run's name, so that not all come at once; null = none"),
    ] = None
    pausing: PausingConfig = PausingConfig()


# Values of the configuration that are each possible but not together: one sentence that names both keys.


def check_clean(grid: GridConfig, scheduler: SchedulerConfig) -> None:
    """Check what counts as clean.

    :raises ValueError: the threshold could never decide.
    """
    limit, at_once = grid.threshold_gco2eq_per_kwh, scheduler.run_now_below_gco2eq_per_kwh
    if scheduler.policy == "threshold" and limit is not None and at_once is not None and at_once > limit:
        raise ValueError(
            f"scheduler.run_now_below_gco2eq_per_kwh {at_once:g} is above grid.threshold_gco2eq_per_kwh {limit:g}, which"
            " could then never decide; give a lower one or remove it"
        )


def check_pausing(scheduler: SchedulerConfig) -> None:
    """Check what a pause costs.

    :raises ValueError: a slice that would hold no work.
    """
    pausing = scheduler.pausing
    if pausing.minimum_slice <= pausing.resume_time:
        raise ValueError(
            f"scheduler.pausing.minimum_slice {format_duration(pausing.minimum_slice)} is not longer than"
            f" scheduler.pausing.resume_time {format_duration(pausing.resume_time)}; give a longer slice"
        )


def check_jitter(scheduler: SchedulerConfig) -> None:
    """Check that starts can be spread as far as is asked.

    :raises ValueError: there is less time to wait than that.
    """
    try:
        slack = parse_duration(scheduler.deadline) - scheduler.expected_duration
    except ValueError:
        return  # a clock time or a date with a time: it comes at the latest start, whatever the jitter
    if scheduler.jitter is not None and scheduler.jitter > slack:
        raise ValueError(
            f"scheduler.jitter {format_duration(scheduler.jitter)} is longer than the {format_duration(slack)} that"
            " scheduler.deadline leaves beside scheduler.expected_duration; give less jitter or more time"
        )


# The tracker section of the configuration: how energy is measured, and whose.


ScopeName = Literal["process_tree", "machine"]


class TrackerConfig(Section):
    """How energy is measured."""

    interval: Annotated[Duration, Field(description="length of a ledger row")] = parse_duration("5s")
    pue: Annotated[float, Field(ge=1, le=10, description="power usage effectiveness of the site, applied once")] = 1.0
    scope: Annotated[
        ScopeName,
        Field(
            description="process_tree: the run is charged its share of CPU time and memory;"
            " machine: all of the machine, for one that does nothing else"
        ),
    ] = "process_tree"


# The training section of the configuration: what is trained, and how.


PrecisionName = Literal["fp32", "bf16", "fp16"]
ScheduleName = Literal["constant", "linear", "cosine"]

_IMPORT_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class ImportedConfig(Section):
    """Something of the user's own, by import path; only ever read from the YAML file."""

    path: Annotated[str, Field(pattern=_IMPORT_PATH, description="package.module:callable")]
    kwargs: Annotated[dict[str, Any], Field(description="arguments of the callable")] = {}


class TrainingConfig(Section):
    """What is trained, and how."""

    model: ImportedConfig
    data: ImportedConfig
    epochs: Annotated[int, Field(ge=1, le=100_000, description="passes over the training data")]
    optimizer: Annotated[Literal["sgd", "adam", "adamw"], Field(description="of torch.optim; sgd without momentum")] = (
        "adamw"
    )
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="of the optimizer; see lr_schedule")]
    lr_schedule: Annotated[
        ScheduleName, Field(description="constant, or falling to 0 over the training: linear or cosine")
    ] = "constant"
    warmup_steps: Annotated[
        int, Field(ge=0, description="optimizer steps over which the learning rate rises to its full value")
    ] = 0
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False, description="as the optimizer understands it")] = (
        0.0
    )
    clip_gradient_norm: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="greatest norm of the whole gradient; null = no clipping"),
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the weights and of the order of samples")] = 0
    micro_batch_size: Annotated[
        MicroBatchSize,
        Field(description="samples per forward and backward pass; auto: as many as memory_target allows"),
    ]
    accumulation_steps: Annotated[
        int | None, Field(ge=1, description="micro-batches per optimizer step; null = what effective_batch_size takes")
    ] = None
    # filled in below where it is null
    effective_batch_size: int = Field(
        default=cast("int", None),
        ge=1,
        description="samples per optimizer step; null = micro_batch_size x accumulation_steps",
    )
    memory_target: Annotated[
        MemoryTargetText, Field(description="of auto: greatest peak, as a share of the unaccumulated one or like 2GiB")
    ] = "50%"
    precision: Annotated[PrecisionName, Field(description="fp32, bf16 (autocast), or fp16 (GPU only)")] = "fp32"
    device: Annotated[Literal["auto", "cuda", "cpu"], Field(description="auto: CUDA where there is one")] = "auto"
    fused_optimizer: Annotated[bool, Field(description="one kernel for the whole optimizer step, where it can be")] = (
        True
    )
    channels_last: Annotated[bool, Field(description="memory format of image models; may be faster on GPUs")] = False
    compile: Annotated[
        bool, Field(description="torch.compile the model, where that works; pays for long trainings")
    ] = False
    data_placement: Annotated[
        Literal["auto", "device", "host"],
        Field(description="where tensors live; auto: on the device if they take less than a quarter of what is free"),
    ] = "auto"
    loader_workers: Annotated[
        int | None,
        Field(ge=0, le=64, description="processes that fetch streamed data; null = up to 4 on a GPU, none on a CPU"),
    ] = None
    checkpoint_interval: Annotated[
        Duration | None, Field(description="time between two checkpoints; null = only before a stop and at the end")
    ] = parse_duration("5m")
    checkpoint_steps: Annotated[
        int | None, Field(ge=1, description="optimizer steps between two checkpoints; null = by time only")
    ] = None
    stall_timeout: Annotated[
        Duration | None, Field(description="a training without a sign of progress for so long is ended; null = never")
    ] = parse_duration("30m")
    environment: Annotated[
        tuple[str, ...],
        Field(strict=False, description="further environment variables that the training child may see"),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, raw: Any) -> Any:
        return complete_batching(raw)


# The typed configuration of one run: what a YAML file in ``include/configs`` may say.


class ReportConfig(Section):
    """What the comparison accepts."""

    baseline_max_age: Annotated[Duration, Field(description="an older baseline is used, and the report says so")] = (
        parse_duration("30d")
    )
    baselines: Annotated[
        int, Field(ge=1, le=50, description="how many of the newest baselines a run is compared with")
    ] = 1
    repeatability_percent: Annotated[
        float, Field(ge=0, le=100, description="a change within this is 'no measurable change'")
    ] = 3.0


class LowtideConfig(Section):
    """One YAML file."""

    artifacts_root: Annotated[
        str, Field(min_length=1, description="where runs and reports go; relative to the project")
    ] = "artifacts"
    grid: GridConfig
    scheduler: SchedulerConfig
    training: TrainingConfig
    tracker: TrackerConfig = TrackerConfig()
    account: AccountConfig = AccountConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _possible(self) -> "LowtideConfig":
        for check in (_check_grid, _check_waiting, _check_deadline_fits, _check_precision, _check_batches):
            check(self)
        check_clean(self.grid, self.scheduler)
        check_pausing(self.scheduler)
        check_jitter(self.scheduler)
        return self

    def artifacts_path(self, project_root: Path) -> Path:
        """Return the artifact root as an absolute path."""
        return artifacts_folder(self.artifacts_root, project_root)


def artifacts_folder(text: str, project_root: Path) -> Path:
    """Return the folder that an artifact root means; relative ones lie in the project.

    :raises ValueError: an object store.
    """
    if "://" in text and not text.startswith("file://"):
        raise ValueError(f"artifacts_root '{text}' is an object store, which is not supported yet; give a folder")
    return (project_root / text.removeprefix("file://")).resolve()


def _check_grid(config: LowtideConfig) -> None:
    grid = config.grid
    if grid.provider == "replay" and grid.replay is None:
        raise ValueError("grid.provider is 'replay' but grid.replay is missing; add grid.replay.virtual_start")
    artifacts_folder(config.artifacts_root, Path())


def _check_waiting(config: LowtideConfig) -> None:
    scheduler = config.scheduler
    if scheduler.policy == "immediate":
        return
    if scheduler.deadline is None:
        raise ValueError(
            f"scheduler.policy '{scheduler.policy}' waits, so it needs scheduler.deadline; add one, e.g. '06:00' or '12h'"
        )
    if scheduler.policy == "threshold" and config.grid.threshold_gco2eq_per_kwh is None:
        raise ValueError("scheduler.policy 'threshold' needs grid.threshold_gco2eq_per_kwh; add it, e.g. 150")


def _check_deadline_fits(config: LowtideConfig) -> None:
    scheduler = config.scheduler
    try:
        slack = parse_duration(scheduler.deadline)
    except ValueError:
        return  # a clock time or a date with a time: checked at submission
    if slack < scheduler.expected_duration:
        raise ValueError(
            f"scheduler.deadline '{scheduler.deadline}' after submission is shorter than scheduler.expected_duration;"
            " give more time or expect less"
        )


def _check_precision(config: LowtideConfig) -> None:
    training = config.training
    if training.precision == "fp16" and training.device == "cpu":
        raise ValueError("training.precision 'fp16' needs a GPU, but training.device is 'cpu'; use 'bf16' or 'fp32'")


def _check_batches(config: LowtideConfig) -> None:
    training = config.training
    check_batching(training.micro_batch_size, training.accumulation_steps, training.effective_batch_size)
