"""What was emitted: an energy meter, the ledger, and energy x intensity over time. CodeCarbon is imported on first use."""

from include.tracker.attempts import next_attempt
from include.tracker.attribution import AttributedMeter
from include.tracker.booking import book_interval
from include.tracker.codecarbon_meter import CodeCarbonMeter
from include.tracker.ledger import LedgerContents, LedgerWriter, hold_ledger, read_ledger, repair_ledger
from include.tracker.live import LiveFigures
from include.tracker.machine_totals import MachineTotals, machine_totals
from include.tracker.meter import EnergyMeter, MeterReading
from include.tracker.null_meter import NullMeter
from include.tracker.process_tree import ProcessTree, Usage, UsageSource
from include.tracker.recorder import EnergyRecorder
from include.tracker.replay_meter import PowerW, ReplayMeter
from include.tracker.sci import embodied_part_gco2eq, functional_units, rescored, sci_score
from include.tracker.settling import actual_readings, settle_rows
from include.tracker.summary import LedgerSummary, PhaseTotals, counterfactual, summarise
from include.tracker.uncertainty import emissions_interval

__all__ = [
    "AttributedMeter",
    "CodeCarbonMeter",
    "EnergyMeter",
    "EnergyRecorder",
    "LedgerContents",
    "LedgerSummary",
    "LedgerWriter",
    "LiveFigures",
    "MachineTotals",
    "MeterReading",
    "NullMeter",
    "PhaseTotals",
    "PowerW",
    "ProcessTree",
    "ReplayMeter",
    "Usage",
    "UsageSource",
    "actual_readings",
    "book_interval",
    "counterfactual",
    "embodied_part_gco2eq",
    "emissions_interval",
    "functional_units",
    "hold_ledger",
    "machine_totals",
    "next_attempt",
    "read_ledger",
    "repair_ledger",
    "rescored",
    "sci_score",
    "settle_rows",
    "summarise",
]
