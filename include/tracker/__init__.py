"""What was emitted: an energy meter, the ledger, and energy x intensity over time. CodeCarbon is imported on first use."""

from include.tracker.attempts import next_attempt
from include.tracker.booking import book_interval
from include.tracker.codecarbon_meter import CodeCarbonMeter
from include.tracker.ledger import LedgerContents, LedgerWriter, read_ledger, repair_ledger
from include.tracker.live import LiveFigures
from include.tracker.meter import EnergyMeter, MeterReading
from include.tracker.recorder import EnergyRecorder
from include.tracker.replay_meter import PowerW, ReplayMeter
from include.tracker.summary import LedgerSummary, PhaseTotals, counterfactual, summarise

__all__ = [
    "CodeCarbonMeter",
    "EnergyMeter",
    "EnergyRecorder",
    "LedgerContents",
    "LedgerSummary",
    "LedgerWriter",
    "LiveFigures",
    "MeterReading",
    "PhaseTotals",
    "PowerW",
    "ReplayMeter",
    "book_interval",
    "counterfactual",
    "next_attempt",
    "read_ledger",
    "repair_ledger",
    "summarise",
]
