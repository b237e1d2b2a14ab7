"""The grid section of the configuration: which grid, how it is asked, and what counts as clean."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from include.config.section import Section
from include.config.zones import find_zone
from include.errors import ConfigurationError

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
