"""JSON schemas of the files that Lowtide writes. ``python -m include.records.schemas`` renews ``record.schema.json``."""

import json
from pathlib import Path

from pydantic import BaseModel

from include.files import write_json_atomically
from include.records.training import TrainingRecord

RECORD_SCHEMA = Path(__file__).with_name("record.schema.json")


def schema_text(model: type[BaseModel]) -> str:
    """Return the JSON schema of a model's files as text, with a final newline."""
    # "serialization": what a written file holds, so that keys with a default are required
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema(mode="serialization")
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_json_atomically(RECORD_SCHEMA, schema_text(TrainingRecord))
