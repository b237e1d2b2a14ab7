"""The schema in the repository is the model's, and every golden report keeps it."""

import json
from pathlib import Path

import jsonschema
import pytest
from lowtide.report.model import Report

from tests.support.schemas import REPORT_SCHEMA, schema_text

GOLDEN = sorted(Path(__file__).with_name("golden").glob("*.json"))


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(REPORT_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_file_is_up_to_date() -> None:
    assert REPORT_SCHEMA.read_text(encoding="utf-8") == schema_text(Report)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_reports_keep_the_schema(path: Path) -> None:
    validator().validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("key", ["schema_version", "headline", "changes", "attribution_gco2eq", "waiting", "run"])
def test_a_report_without_a_contract_key_breaks_the_schema(key: str) -> None:
    report = json.loads(GOLDEN[0].read_text(encoding="utf-8"))
    del report[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        validator().validate(report)


def test_the_contracts_keys_are_all_there() -> None:
    report = json.loads(GOLDEN[0].read_text(encoding="utf-8"))
    assert set(report["headline"]) == {"status", "direction", "text", "reasons"}
    assert set(report["attribution_gco2eq"]) == {"work", "efficiency", "grid_conditions", "waiting", "total"}
    assert set(report["changes"]) == {
        "emissions_percent",
        "energy_percent",
        "mean_intensity_percent",
        "peak_memory_percent",
        "accuracy_points",
        "duration_percent",
    }
