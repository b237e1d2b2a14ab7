"""JSON schemas of the files that Lowtide writes. ``python -m include.records.schemas`` renews them."""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from include.files import write_json_atomically
from include.records.incomplete import IncompleteRecord
from include.records.training import TrainingRecord

RECORD_SCHEMA = Path(__file__).with_name("record.schema.json")
INCOMPLETE_RECORD_SCHEMA = Path(__file__).with_name("incomplete_record.schema.json")
"""Of the account of a run that did not finish, also kept in ``record.json``; told apart by ``complete``: false."""


class _WrittenFiles(GenerateJsonSchema):
    """A written file holds every key, also those that have a default in the model."""

    def field_is_required(self, field: object, total: bool) -> bool:  # noqa: ARG002 pydantic's signature
        return True


def schema_text(model: type[BaseModel]) -> str:
    """Return the JSON schema of a model's files as text, with a final newline."""
    body = model.model_json_schema(mode="serialization", schema_generator=_WrittenFiles)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | body
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_json_atomically(RECORD_SCHEMA, schema_text(TrainingRecord))
    write_json_atomically(INCOMPLETE_RECORD_SCHEMA, schema_text(IncompleteRecord))
