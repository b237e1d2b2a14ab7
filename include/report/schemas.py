"""``python -m include.report.schemas`` renews ``report.schema.json`` after a change of the model."""

from pathlib import Path

from include.files import write_json_atomically
from include.records.schemas import schema_text
from include.report.model import Report

REPORT_SCHEMA = Path(__file__).with_name("report.schema.json")

if __name__ == "__main__":
    write_json_atomically(REPORT_SCHEMA, schema_text(Report))
