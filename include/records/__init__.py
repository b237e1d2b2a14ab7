"""The facts that rooms hand to one another: a reading of the grid, a ledger row, a training record."""

from include.records.intensity import (
    EmissionFactorType,
    Forecast,
    IntensityKind,
    Reading,
    SignalType,
)
from include.records.ledger import LEDGER_SCHEMA_VERSION, LedgerRow, Phase
from include.records.ledger_event import LedgerEvent, LedgerEventKind
from include.records.training import (
    RECORD_SCHEMA_VERSION,
    Counterfactual,
    EnergyTotals,
    ReplayAnchor,
    TrainingRecord,
)

__all__ = [
    "LEDGER_SCHEMA_VERSION",
    "RECORD_SCHEMA_VERSION",
    "Counterfactual",
    "EmissionFactorType",
    "EnergyTotals",
    "Forecast",
    "IntensityKind",
    "LedgerEvent",
    "LedgerEventKind",
    "LedgerRow",
    "Phase",
    "Reading",
    "ReplayAnchor",
    "SignalType",
    "TrainingRecord",
]
