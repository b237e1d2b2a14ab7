"""Runs in formats that others read: CodeCarbon's CSV, Hugging Face's model card, JSON."""

from include.report.export.codecarbon_csv import CODECARBON_COLUMNS, OUR_COLUMNS, codecarbon_row, csv_text
from include.report.export.model_card import model_card_block, model_card_text
from include.report.export.record_json import json_text

__all__ = [
    "CODECARBON_COLUMNS",
    "OUR_COLUMNS",
    "codecarbon_row",
    "csv_text",
    "json_text",
    "model_card_block",
    "model_card_text",
]
