"""The schema of a configuration: what one YAML file in ``include/configs`` may hold, section by section."""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeGuard, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lowtide.config.providers import PROVIDERS
from lowtide.config.zones import find_zone
from lowtide.errors import ConfigurationError
from lowtide.timeutil import Deadline, Duration, format_duration, parse_duration
from lowtide.units import BYTES_PER_GIB, BYTES_PER_MIB

AUTO: Final = "auto"

if TYPE_CHECKING:
    ProviderName = str
else:
    ProviderName = Literal["auto", *PROVIDERS]
FactorTypeName = Literal["lifecycle", "direct"]
SignalTypeName = Literal["average", "marginal"]
PolicyName = Literal["immediate", "threshold", "percentile", "window", "interruptible"]
OnLatestStart = Literal["start", "skip", "fail"]
PrecisionName = Literal["fp32", "bf16", "fp16"]
ScheduleName = Literal["constant", "linear", "cosine"]
FunctionalUnitName = Literal["run", "epoch", "1000_samples"]
ScopeName = Literal["process_tree", "machine"]


class Section(BaseModel):
    """A section of the file: unknown keys are refused, and no value is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- grid


def _as_text(value: object) -> object:
    """Accept a region such as 13 without quotes."""
    return str(value) if _is_integer(value) else value


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _known_zone(key: object) -> object:
    if isinstance(key, bool) or not isinstance(key, str):
        raise ValueError(f"write the zone in quotes: YAML read {key!r}, not text")  # noqa: TRY004 pydantic reads ValueError
    try:
        return find_zone(key).key
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


class ReplayConfig(Section):
    """Replays a day of a grid at a speed; without a trace, the zone's typical day from the regional profile."""

    trace: str | None = Field(
        None, description="CSV file with timestamp,carbon_intensity_gco2eq_per_kwh; null = the zone's profile"
    )
    virtual_start: str = Field(description="where the replay begins; local time of the zone unless it has an offset")
    speed: float = Field(1.0, gt=0, le=100_000, description="virtual seconds per real second")


class GridConfig(Section):
    """The zone, its provider, and which intensity counts as clean."""

    zone: Annotated[str, BeforeValidator(_known_zone)] = Field(
        description="zone key of Electricity Maps, e.g. GB, or a cloud region, e.g. aws:eu-west-1"
    )
    provider: ProviderName = Field(
        "auto", description="whose signal; auto: one without a key, else the one whose key is given, else profile"
    )
    region: Annotated[Annotated[str, Field(min_length=1, max_length=64)] | None, BeforeValidator(_as_text)] = Field(
        None, description="part of the zone, in the provider's own words; null = the whole"
    )
    emission_factor_type: FactorTypeName | None = Field(
        None, description="lifecycle or direct, where the provider offers both; null = the provider's own"
    )
    signal_type: SignalTypeName | None = Field(
        None, description="average or marginal, where the provider does not declare it; null = the provider's own"
    )
    connection: str | None = Field(
        None, min_length=1, description="Airflow connection id of the provider; null = its public address"
    )
    threshold_gco2eq_per_kwh: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="clean means at or below this, in gCO2eq/kWh"
    )
    replay: ReplayConfig | None = None


# --- scheduler


def _days_to_a_year(window: timedelta) -> timedelta:
    if not timedelta(days=1) <= window <= timedelta(days=366):
        raise ValueError("a window holds at least a whole day and at most a year; write e.g. 7d")
    return window


class PausingConfig(Section):
    """What a pause costs, and how many there may be; used by the policy ``interruptible``."""

    minimum_slice: Duration = Field(parse_duration("30m"), description="shortest run between two pauses")
    resume_time: Duration = Field(parse_duration("2m"), description="time that a resume takes before work continues")
    resume_energy: Duration = Field(
        parse_duration("2m"), description="energy of a pause and its resume, as time at full power"
    )
    maximum_pauses: int = Field(10, ge=0, le=1000, description="a job is not paused more often than this")


class SchedulerConfig(Section):
    """When to run."""

    policy: PolicyName = Field(
        description="immediate: start at once; threshold, percentile: wait until the grid is clean; window: best block"
        " before the deadline; interruptible: best blocks, with pauses between them"
    )
    deadline: Deadline | None = Field(
        None, description="latest finish: '06:00' (zone's time), '12h' after submission, or a time with an offset"
    )
    on_latest_start: OnLatestStart = Field(
        "start", description="what to do when waiting longer would miss the deadline"
    )
    expected_duration: Duration = Field(description="how long the training takes")
    learn_duration: bool = Field(
        False, description="expect what earlier runs of the same training took, once there are three"
    )
    duration_margin: float = Field(0.1, ge=0, le=10, description="safety added to expected_duration, as a share")
    poke_interval: Duration = Field(parse_duration("5m"), description="time between two checks of the grid")
    failure_budget: int = Field(3, ge=1, le=1000, description="failed checks in a row before the fallback decides")
    minimum_gain_percent: float = Field(2.0, ge=0, lt=100, description="do not wait for less than this")
    run_now_below_gco2eq_per_kwh: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="start at once at or below this, whatever the forecast"
    )
    percentile: float = Field(
        30.0, gt=0, lt=100, description="clean means at or below this percentile of the window; for percentile"
    )
    percentile_window: Annotated[Duration, AfterValidator(_days_to_a_year)] = Field(
        parse_duration("7d"), description="the days before now that it is taken from"
    )
    jitter: Duration | None = Field(
        None, description="starts are spread over this by the run's name, so that not all come at once; null = none"
    )
    pausing: PausingConfig = PausingConfig()


# --- training


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
    """The highest peak that is allowed: a ``share`` of the unaccumulated one, or bytes; exactly one is set."""

    share: float | None = None
    size_bytes: int | None = None

    def limit_bytes(self, unaccumulated_peak_bytes: float, *, margin: float = 0.0) -> float:
        """Return the highest peak in bytes; with a margin, so that one which is by this share of itself higher meets the target.

        The whole of the unaccumulated peak needs no margin: nothing larger is possible.
        """
        if self.size_bytes is not None:
            return self.size_bytes / (1 + margin)
        share = self.share or 0.0
        return unaccumulated_peak_bytes * (share if share >= 1 else share / (1 + margin))


def parse_memory_target(text: object) -> MemoryTarget:
    """Read ``50%``, ``2GiB``, ``500MB`` or a number of bytes.

    :raises ValueError: anything else, zero, or more than 100 %.
    """
    match = _TARGET.fullmatch(str(text).strip()) if isinstance(text, str) or _is_integer(text) else None
    number, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if unit == "%" and 0 < number <= 100:
        return MemoryTarget(share=number / 100)
    if unit in _UNITS and number * _UNITS[unit] >= 1:
        return MemoryTarget(size_bytes=int(number * _UNITS[unit]))
    raise ValueError("write a share of the unaccumulated peak like 50%, or a size like 2GiB or 500MB")


def _checked_target(text: object) -> str:
    parse_memory_target(text)
    return str(text).strip()


def _checked_size(value: object) -> object:
    if value == AUTO or _is_count(value):
        return value
    raise ValueError("it should be a valid integer, at least 1, or auto")


def _is_count(value: object) -> TypeGuard[int]:
    return _is_integer(value) and value >= 1


def largest_divisor(effective_batch_size: int, *, most: int) -> int:
    """Return the largest micro-batch of at most ``most`` samples of which an effective batch is a multiple, at least 1."""
    fewest = math.ceil(effective_batch_size / max(1, min(most, effective_batch_size)))
    steps = next(count for count in range(fewest, effective_batch_size + 1) if effective_batch_size % count == 0)
    return effective_batch_size // steps


def _checked_path(text: str) -> str:
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError("write the module, a colon and the function or class in it, like my_project.models:Net")
    return text


class ImportedConfig(Section):
    """A model or data callable of the user's, by import path; only ever read from the YAML file."""

    path: Annotated[str, AfterValidator(_checked_path)] = Field(description="package.module:callable")
    kwargs: dict[str, Any] = Field({}, description="arguments of the callable")


class TrainingConfig(Section):
    """What is trained, and how; of the three batch sizes, two give the third."""

    model: ImportedConfig
    data: ImportedConfig
    epochs: int = Field(ge=1, le=100_000, description="passes over the training data")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("adamw", description="of torch.optim; sgd without momentum")
    learning_rate: float = Field(gt=0, allow_inf_nan=False, description="of the optimizer; see lr_schedule")
    lr_schedule: ScheduleName = Field(
        "constant", description="constant, or falling to 0 over the training: linear or cosine"
    )
    warmup_steps: int = Field(
        0, ge=0, description="optimizer steps over which the learning rate rises to its full value"
    )
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="as the optimizer defines it")
    clip_gradient_norm: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="greatest norm of the whole gradient; null = no clipping"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="of the weights and of the order of samples")
    # checked as one: a union's own errors would name its branches, which are not in the file
    micro_batch_size: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_checked_size)] = Field(
        description="samples per forward and backward pass; auto: as many as memory_target allows"
    )
    accumulation_steps: int | None = Field(
        None, ge=1, description="micro-batches per optimizer step; null = what effective_batch_size takes"
    )
    # filled in below where it is null
    effective_batch_size: int = Field(
        cast("int", None), ge=1, description="samples per optimizer step; null = micro_batch_size x accumulation_steps"
    )
    memory_target: Annotated[str, BeforeValidator(_checked_target)] = Field(
        "50%", description="of auto: greatest peak, as a share of the unaccumulated one or like 2GiB"
    )
    precision: PrecisionName = Field("fp32", description="fp32, bf16 (autocast), or fp16 (GPU only)")
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="auto: CUDA where there is one")
    fused_optimizer: bool = Field(True, description="one kernel for the whole optimizer step, where it is possible")
    channels_last: bool = Field(False, description="memory format of image models; may be faster on GPUs")
    compile: bool = Field(False, description="torch.compile the model, where that works; pays for long trainings")
    data_placement: Literal["auto", "device", "host"] = Field(
        "auto", description="where tensors are; auto: on the device if they take less than a quarter of what is free"
    )
    loader_workers: int | None = Field(
        None, ge=0, le=64, description="processes that fetch streamed data; null = up to 4 on a GPU, none on a CPU"
    )
    checkpoint_interval: Duration | None = Field(
        parse_duration("5m"), description="time between two checkpoints; null = only before a stop and at the end"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="optimizer steps between two checkpoints; null = by time only"
    )
    stall_timeout: Duration | None = Field(
        parse_duration("30m"), description="a training without progress for so long is ended; null = never"
    )
    environment: tuple[str, ...] = Field(
        (), strict=False, description="further environment variables that the training child may see"
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, raw: Any) -> Any:
        """Fill in the effective batch, or the number of micro-batches that it takes."""
        if not isinstance(raw, dict) or not _is_count(micro := raw.get("micro_batch_size")):
            return raw
        steps, effective = raw.get("accumulation_steps"), raw.get("effective_batch_size")
        if effective is None and _is_count(steps):
            return raw | {"effective_batch_size": micro * steps}
        if steps is None and _is_count(effective):
            return raw | {"accumulation_steps": math.ceil(effective / micro)}  # _check_batches refuses what is uneven
        return raw


# --- tracker, account, report


class TrackerConfig(Section):
    """How energy is measured."""

    interval: Duration = Field(parse_duration("5s"), description="length of a ledger row")
    pue: float = Field(1.0, ge=1, le=10, description="power usage effectiveness of the site, applied once")
    scope: ScopeName = Field(
        "process_tree",
        description="process_tree: the run is charged its share of CPU time and memory;"
        " machine: all of the machine, for one that does nothing else",
    )


class AccountConfig(Section):
    """The Software Carbon Intensity score (ISO/IEC 21031:2024); embodied emissions count only if they are given."""

    functional_unit: FunctionalUnitName = Field(
        "run", description="what the SCI score is per (R): run, epoch or 1000_samples"
    )
    hardware_embodied_gco2eq: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="embodied emissions of the hardware in g (TE); null = not counted"
    )
    hardware_lifespan: Duration = Field(parse_duration("1460d"), description="over which they are spread")
    hardware_share: float = Field(1.0, gt=0, le=1, description="share of the hardware that a run reserves (RS)")


class ReportConfig(Section):
    """What the comparison accepts."""

    baseline_max_age: Duration = Field(
        parse_duration("30d"), description="an older baseline is used, with a warning in the report"
    )
    baselines: int = Field(1, ge=1, le=50, description="how many of the newest baselines a run is compared with")
    repeatability_percent: float = Field(
        3.0, ge=0, le=100, description="a change within this is 'no measurable change'"
    )


# --- the whole file, and values that are each possible but not together


class LowtideConfig(Section):
    """One YAML file."""

    artifacts_root: str = Field(
        "artifacts", min_length=1, description="where runs and reports go; relative to the project"
    )
    grid: GridConfig
    scheduler: SchedulerConfig
    training: TrainingConfig
    tracker: TrackerConfig = TrackerConfig()
    account: AccountConfig = AccountConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _possible(self) -> "LowtideConfig":
        if self.grid.provider == "replay" and self.grid.replay is None:
            raise ValueError("grid.provider is 'replay' but grid.replay is missing; add grid.replay.virtual_start")
        artifacts_folder(self.artifacts_root, Path())
        if self.scheduler.policy != "immediate":
            _check_waiting(self.scheduler, self.grid)
        _check_times(self.scheduler)
        _check_training(self.training)
        return self


def artifacts_folder(text: str, project_root: Path) -> Path:
    """Return the folder of an artifact root; a relative one is in the project.

    :raises ValueError: an object store.
    """
    if "://" in text and not text.startswith("file://"):
        raise ValueError(f"artifacts_root '{text}' is an object store, which is not supported yet; give a folder")
    return (project_root / text.removeprefix("file://")).resolve()


def _check_waiting(scheduler: SchedulerConfig, grid: GridConfig) -> None:
    if scheduler.deadline is None:
        raise ValueError(
            f"scheduler.policy '{scheduler.policy}' waits, so it needs scheduler.deadline; add one, e.g. '06:00' or '12h'"
        )
    if scheduler.policy != "threshold":
        return
    limit, at_once = grid.threshold_gco2eq_per_kwh, scheduler.run_now_below_gco2eq_per_kwh
    if limit is None:
        raise ValueError("scheduler.policy 'threshold' needs grid.threshold_gco2eq_per_kwh; add it, e.g. 150")
    if at_once is not None and at_once > limit:
        raise ValueError(
            f"scheduler.run_now_below_gco2eq_per_kwh {at_once:g} is above grid.threshold_gco2eq_per_kwh {limit:g}, which"
            " could then never decide; give a lower one or remove it"
        )


def _check_times(scheduler: SchedulerConfig) -> None:
    pausing = scheduler.pausing
    if pausing.minimum_slice <= pausing.resume_time:
        raise ValueError(
            f"scheduler.pausing.minimum_slice {format_duration(pausing.minimum_slice)} is not longer than"
            f" scheduler.pausing.resume_time {format_duration(pausing.resume_time)}; give a longer slice"
        )
    try:
        slack = parse_duration(scheduler.deadline) - scheduler.expected_duration
    except ValueError:
        return  # a clock time or a timestamp, which is checked at submission
    if slack < timedelta():
        raise ValueError(
            f"scheduler.deadline '{scheduler.deadline}' after submission is shorter than scheduler.expected_duration;"
            " give more time or expect less"
        )
    if scheduler.jitter is not None and scheduler.jitter > slack:
        raise ValueError(
            f"scheduler.jitter {format_duration(scheduler.jitter)} is longer than the {format_duration(slack)} that"
            " scheduler.deadline leaves beside scheduler.expected_duration; give less jitter or more time"
        )


def _check_training(training: TrainingConfig) -> None:
    if training.precision == "fp16" and training.device == "cpu":
        raise ValueError("training.precision 'fp16' needs a GPU, but training.device is 'cpu'; use 'bf16' or 'fp32'")
    # what the file says, not what the type promises: it is null where neither is given
    micro, effective = training.micro_batch_size, cast("int | None", training.effective_batch_size)
    if micro == AUTO:
        _check_auto(training.accumulation_steps, effective)
    else:
        _check_batches(micro, training.accumulation_steps, effective)


def _check_auto(steps: int | None, effective: int | None) -> None:
    if effective is None:
        raise ValueError("training.micro_batch_size 'auto' needs training.effective_batch_size; add it, e.g. 512")
    if steps is not None:
        raise ValueError(
            f"training.micro_batch_size 'auto' decides how often to accumulate; leave out accumulation_steps {steps}"
        )


def _check_batches(micro: int, steps: int | None, effective: int | None) -> None:
    if effective is None or steps is None:
        raise ValueError(
            f"training.micro_batch_size {micro} alone does not give the size of a step; add accumulation_steps or"
            " effective_batch_size"
        )
    if math.ceil(effective / micro) == steps and effective % micro:
        raise ValueError(
            f"training.effective_batch_size {effective} cannot be cut into equal micro-batches of {micro}; the next smaller"
            f" training.micro_batch_size that divides it is {largest_divisor(effective, most=micro)}"
        )
    if micro * steps != effective:
        raise ValueError(
            f"training.micro_batch_size {micro} x accumulation_steps {steps} is not effective_batch_size {effective};"
            " leave one of them out"
        )
