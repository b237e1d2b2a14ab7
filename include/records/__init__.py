"""The facts that rooms hand to one another: a reading of the grid, a ledger row, a training record."""

from include.records.accounts import (
    Counterfactual,
    EmissionsInterval,
    FirstBooked,
    FunctionalUnit,
    SciScore,
    Settlement,
)
from include.records.incomplete import IncompleteRecord, tells_of_an_unfinished_run
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
    READABLE_SCHEMA_VERSIONS,
    RECORD_SCHEMA_VERSION,
    EnergyTotals,
    Interruption,
    MachineEnergy,
    ReplayAnchor,
    TrainingRecord,
)

__all__ = [
    "LEDGER_SCHEMA_VERSION",
    "READABLE_SCHEMA_VERSIONS",
    "RECORD_SCHEMA_VERSION",
    "Counterfactual",
    "EmissionFactorType",
    "EmissionsInterval",
    "EnergyTotals",
    "FirstBooked",
    "Forecast",
    "FunctionalUnit",
    "IncompleteRecord",
    "IntensityKind",
    "Interruption",
    "LedgerEvent",
    "LedgerEventKind",
    "LedgerRow",
    "MachineEnergy",
    "Phase",
    "Reading",
    "ReplayAnchor",
    "SciScore",
    "Settlement",
    "SignalType",
    "TrainingRecord",
    "tells_of_an_unfinished_run",
]
