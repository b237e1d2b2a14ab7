"""The account section of the configuration: what the figures are told per, and what the hardware cost to make."""

from typing import Annotated, Literal

from pydantic import Field

from include.config.section import Section
from include.config.times import Duration, parse_duration

FunctionalUnitName = Literal["run", "epoch", "1000_samples"]


class AccountConfig(Section):
    """The Software Carbon Intensity score (ISO/IEC 21031:2024); embodied emissions count only if they are given."""

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
