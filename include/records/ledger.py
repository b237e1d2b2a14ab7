"""One row of the energy ledger: what was used in an interval, and what the grid was like then."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from include.moments import format_moment, parse_moment
from include.records.intensity import EmissionFactorType, IntensityKind, SignalType


class Phase(StrEnum):
    """What the training child was doing; the headline includes all, train-only stands beside it."""

    STARTUP = "startup"
    TRAIN = "train"
    CHECKPOINT = "checkpoint"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """Energy of one interval in kWh (before PUE), the grid's intensity in g/kWh and the product with PUE in g.

    Under replay ``start`` and ``end`` are virtual moments; ``monotonic_s`` (at the row's end) is always real.
    """

    start: datetime
    end: datetime
    phase: Phase
    attempt: int
    monotonic_s: float
    cpu_energy_kwh: float
    gpu_energy_kwh: float
    ram_energy_kwh: float
    carbon_intensity_gco2eq_per_kwh: float
    intensity_kind: IntensityKind
    intensity_source: str
    signal_type: SignalType
    emission_factor_type: EmissionFactorType
    emissions_gco2eq: float

    @property
    def energy_kwh(self) -> float:
        """CPU, GPU and RAM together."""
        return self.cpu_energy_kwh + self.gpu_energy_kwh + self.ram_energy_kwh

    def as_json_line(self) -> str:
        """Return the row as one line of JSON, with the line's end."""
        data = asdict(self) | {"start": format_moment(self.start), "end": format_moment(self.end)}
        return json.dumps(data, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read one row; keys of later versions are left aside."""
        known = {key: data[key] for key in cls.__slots__}
        return cls(
            **known
            | {
                "start": parse_moment(data["start"]),
                "end": parse_moment(data["end"]),
                "phase": Phase(data["phase"]),
                "intensity_kind": IntensityKind(data["intensity_kind"]),
                "signal_type": SignalType(data["signal_type"]),
                "emission_factor_type": EmissionFactorType(data["emission_factor_type"]),
            }
        )
