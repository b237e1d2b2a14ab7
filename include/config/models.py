"""The typed configuration of one run: what a YAML file in ``include/configs`` may say."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from include.config.batching import check_batching
from include.config.section import Section
from include.config.times import Deadline, Duration, parse_duration
from include.config.training import TrainingConfig
from include.config.zones import find_zone
from include.errors import ConfigurationError

ProviderName = Literal[
    "auto", "neso", "energy_charts", "electricity_maps", "watttime", "carbon_aware_sdk", "replay", "profile"
]
FactorTypeName = Literal["lifecycle", "direct"]
SignalTypeName = Literal["average", "marginal"]
PolicyName = Literal["immediate", "threshold"]
OnLatestStart = Literal["start", "skip", "fail"]


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


class SchedulerConfig(Section):
    """When to run."""

    policy: Annotated[
        PolicyName, Field(description="immediate: start at once; threshold: wait until the grid is clean")
    ]
    deadline: Annotated[
        Deadline | None, Field(description="latest finish: '06:00' (zone's time), '12h' after submission, or a moment")
    ] = None
    on_latest_start: Annotated[
        OnLatestStart, Field(description="what to do when waiting longer would miss the deadline")
    ] = "start"
    expected_duration: Annotated[Duration, Field(description="how long the training takes")]
    duration_margin: Annotated[
        float, Field(ge=0, le=10, description="safety added to expected_duration, as a share")
    ] = 0.1
    poke_interval: Annotated[Duration, Field(description="time between two looks at the grid")] = parse_duration("5m")
    failure_budget: Annotated[
        int, Field(ge=1, le=1000, description="failed looks in a row before the fallback decides")
    ] = 3
    minimum_gain_percent: Annotated[float, Field(ge=0, lt=100, description="do not wait for less than this")] = 2.0


class TrackerConfig(Section):
    """How energy is measured."""

    interval: Annotated[Duration, Field(description="length of a ledger row")] = parse_duration("5s")
    pue: Annotated[float, Field(ge=1, le=10, description="power usage effectiveness of the site, applied once")] = 1.0


class ReportConfig(Section):
    """What the comparison accepts."""

    baseline_max_age: Annotated[Duration, Field(description="an older baseline is used, and the report says so")] = (
        parse_duration("30d")
    )
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
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _possible(self) -> "LowtideConfig":
        for check in (_check_grid, _check_waiting, _check_deadline_fits, _check_precision, _check_batches):
            check(self)
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
        return  # a clock time or a moment: judged at submission, when it becomes one
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
