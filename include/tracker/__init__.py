"""What was emitted: an energy meter, the ledger, and energy x intensity over time. CodeCarbon is imported on first use."""

from include.tracker.accounts.machine_totals import MachineTotals, machine_totals
from include.tracker.accounts.sci import embodied_part_gco2eq, functional_units, rescored, sci_score
from include.tracker.accounts.settling import actual_readings, settle_rows
from include.tracker.accounts.summary import LedgerSummary, PhaseTotals, counterfactual, summarise
from include.tracker.accounts.uncertainty import emissions_interval
from include.tracker.ledger.attempts import next_attempt
from include.tracker.ledger.locking import hold_ledger
from include.tracker.ledger.writing import LedgerContents, LedgerWriter, read_ledger, repair_ledger
from include.tracker.meters.attribution import AttributedMeter
from include.tracker.meters.codecarbon_meter import CodeCarbonMeter
from include.tracker.meters.meter import EnergyMeter, MeterReading
from include.tracker.meters.null_meter import NullMeter
from include.tracker.meters.process_tree import ProcessTree, Usage, UsageSource
from include.tracker.meters.replay_meter import PowerW, ReplayMeter
from include.tracker.recording.booking import book_interval
from include.tracker.recording.live import LiveFigures
from include.tracker.recording.recorder import EnergyRecorder

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
