"""``python -m include.report.savings.schemas`` renews ``savings.schema.json`` after a change of the model."""

from pathlib import Path

from include.files import write_json_atomically
from include.records.schemas import schema_text
from include.report.savings.model import Savings

SAVINGS_SCHEMA = Path(__file__).with_name("savings.schema.json")

if __name__ == "__main__":
    write_json_atomically(SAVINGS_SCHEMA, schema_text(Savings))
