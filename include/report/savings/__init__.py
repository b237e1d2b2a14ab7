"""What a deployment's runs used, emitted and avoided over time, from their records alone."""

from include.report.savings.export import cells_csv, runs_csv
from include.report.savings.files import refresh_savings
from include.report.savings.ledger import SavingsQuery, savings_folder, savings_ledger
from include.report.savings.model import SAVINGS_SCHEMA_VERSION, Savings

__all__ = [
    "SAVINGS_SCHEMA_VERSION",
    "Savings",
    "SavingsQuery",
    "cells_csv",
    "refresh_savings",
    "runs_csv",
    "savings_folder",
    "savings_ledger",
]
