"""The facts that rooms hand to one another: a reading of the grid, a ledger row, a training record."""

from include.records.intensity import (
    EmissionFactorType,
    Forecast,
    IntensityKind,
    Reading,
    SignalType,
)
from include.records.ledger import LedgerRow, Phase
from include.records.training import (
    RECORD_SCHEMA_VERSION,
    Counterfactual,
    EnergyTotals,
    Interruption,
    ReplayAnchor,
    TrainingRecord,
)

__all__ = [
    "RECORD_SCHEMA_VERSION",
    "Counterfactual",
    "EmissionFactorType",
    "EnergyTotals",
    "Forecast",
    "IntensityKind",
    "Interruption",
    "LedgerRow",
    "Phase",
    "Reading",
    "ReplayAnchor",
    "SignalType",
    "TrainingRecord",
]
