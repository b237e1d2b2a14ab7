"""The account section of the configuration: where the ledger is copied, what the figures are per, what the hardware cost."""

from typing import Annotated, Literal

from pydantic import Field

from include.config.section import Section
from include.config.times import Duration, parse_duration

FunctionalUnitName = Literal["run", "epoch", "1000_samples"]


class AccountConfig(Section):
    """Where the ledger is copied, and the Software Carbon Intensity score (ISO/IEC 21031:2024).

    Embodied emissions count only if they are given.
    """

    ledger_copies: Annotated[
        str | None,
        Field(min_length=1, description="folder or URL, e.g. s3://bucket/ledgers, that gets the ledger in pieces"),
    ] = None
    ledger_copy_interval: Annotated[Duration, Field(description="at most this much is lost with a machine")] = (
        parse_duration("1m")
    )
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
