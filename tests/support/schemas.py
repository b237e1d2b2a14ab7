"""The JSON schemas of the files that Lowtide writes. ``python -m tests.support.schemas`` renews them; tests compare them."""

import json

from lowtide.config.loader import PROJECT_ROOT
from lowtide.records import IncompleteRecord, TrainingRecord
from lowtide.report.model import Report
from lowtide.report.savings_model import Savings
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

_FOLDER = PROJECT_ROOT / "include" / "lowtide" / "schemas"
RECORD_SCHEMA = _FOLDER / "record.schema.json"
INCOMPLETE_RECORD_SCHEMA = _FOLDER / "incomplete_record.schema.json"
"""Of a run that did not finish, also in ``record.json``; recognised by ``complete``: false."""
REPORT_SCHEMA = _FOLDER / "report.schema.json"
SAVINGS_SCHEMA = _FOLDER / "savings.schema.json"


class _WrittenFiles(GenerateJsonSchema):
    """A written file holds every key, also those that have a default in the model."""

    def field_is_required(self, field: object, total: bool) -> bool:
        return True


def schema_text(model: type[BaseModel]) -> str:
    """The JSON schema of a model's files as text, with a final newline."""
    body = model.model_json_schema(mode="serialization", schema_generator=_WrittenFiles)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | body
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    written = (
        (RECORD_SCHEMA, TrainingRecord),
        (INCOMPLETE_RECORD_SCHEMA, IncompleteRecord),
        (REPORT_SCHEMA, Report),
        (SAVINGS_SCHEMA, Savings),
    )
    for path, model in written:
        path.write_text(schema_text(model), encoding="utf-8")
