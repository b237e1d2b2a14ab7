"""The tracker section of the configuration: how energy is measured, and whose."""

from typing import Annotated, Literal

from pydantic import Field

from include.config.section import Section
from include.config.times import Duration, parse_duration

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
