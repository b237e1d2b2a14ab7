"""One row of the energy ledger: what was used in an interval, and what the grid was like then."""

import json
import sys
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from include.moments import format_moment, parse_moment
from include.records.intensity import EmissionFactorType, IntensityKind, SignalType

LEDGER_SCHEMA_VERSION: Final = "1.1"
"""1.1: lines that open and close an attempt; optional keys in rows (first booking, the machine's energy)."""


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
    The energy is what the run is charged; ``machine_...`` is all of the machine's in the interval (for GPUs: the selected
    ones'), its upper bound. ``booked_...`` is what the row was booked at first; only settled rows have it. What is None is
    left out of the line.
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
    machine_cpu_energy_kwh: float | None = None
    machine_gpu_energy_kwh: float | None = None
    machine_ram_energy_kwh: float | None = None
    booked_carbon_intensity_gco2eq_per_kwh: float | None = None
    booked_intensity_kind: IntensityKind | None = None
    booked_intensity_source: str | None = None
    booked_emissions_gco2eq: float | None = None
    settled_at: datetime | None = None

    @property
    def energy_kwh(self) -> float:
        """CPU, GPU and RAM together."""
        return self.cpu_energy_kwh + self.gpu_energy_kwh + self.ram_energy_kwh

    def as_json_line(self) -> str:
        """Return the row as one line of JSON, with the line's end."""
        # not asdict, which copies deeply: a month has half a million rows
        data = {key: value for key in self.__slots__ if (value := getattr(self, key)) is not None}
        moments = {key: format_moment(value) for key, value in data.items() if isinstance(value, datetime)}
        return json.dumps(data | moments, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read one row; keys of later versions are left aside.

        :raises KeyError: a key that every row has is missing.
        :raises ValueError: a moment or a kind that cannot be read.
        """
        known = {key: data[key] for key in _REQUIRED} | {key: data[key] for key in _OPTIONAL if key in data}
        return cls(**known | {key: read(known[key]) for key, read in _READERS.items() if key in known})


_REQUIRED = tuple(field.name for field in fields(LedgerRow) if field.default is not None)
_OPTIONAL = tuple(field.name for field in fields(LedgerRow) if field.default is None)
_READERS: dict[str, Any] = {
    "intensity_source": sys.intern,  # one text for half a million rows
    "start": parse_moment,
    "end": parse_moment,
    "settled_at": parse_moment,
    "phase": Phase,
    "intensity_kind": IntensityKind,
    "booked_intensity_kind": IntensityKind,
    "signal_type": SignalType,
    "emission_factor_type": EmissionFactorType,
}
