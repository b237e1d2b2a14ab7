"""The trigger form: nullable schemas from the models, no import paths, a fixed list of files."""

import jsonschema
import pytest
from lowtide.config.airflow_params import (
    CONFIGS_FOLDER,
    SETTING_OF_PARAM,
    config_path_from_params,
    configuration_files,
    param_schemas,
    settings_from_params,
)
from lowtide.config.loader import load_config
from lowtide.config.zones import zone_table
from lowtide.errors import ConfigurationError

SCHEMAS = param_schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_param_has_a_valid_schema_that_accepts_null_and_has_a_description(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    jsonschema.validate(None, SCHEMAS[name])
    assert "$ref" not in str(SCHEMAS[name])


def test_the_params_are_those_of_the_form_and_hold_no_import_path() -> None:
    assert list(SCHEMAS) == ["config", *SETTING_OF_PARAM, "start_now", "fresh", "baseline_run_id"]
    assert not any(key.startswith(("training.model", "training.data")) for key in SETTING_OF_PARAM.values())


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("zone", "GB", "XX"),
        ("policy", "interruptible", "hope"),
        ("threshold_gco2eq_per_kwh", 120.5, 0),
        ("threshold_gco2eq_per_kwh", 120, "120"),
        ("deadline", "06:00", 6),
        ("epochs", 3, 0),
        ("micro_batch_size", 1, 1.5),
        ("accumulation_steps", 4, 0),
        ("precision", "bf16", "fp8"),
        ("config", "baseline.yaml", "../../secrets.yaml"),
        ("start_now", True, "yes"),
        ("fresh", False, 1),
        ("baseline_run_id", "manual__1", 1),
    ],
)
def test_a_param_takes_what_the_configuration_takes(name: str, good: object, bad: object) -> None:
    jsonschema.validate(good, SCHEMAS[name])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, SCHEMAS[name])


def test_every_zone_can_be_chosen() -> None:
    assert SCHEMAS["zone"]["enum"] == [None, *sorted(zone_table())]


def test_null_means_as_in_the_file() -> None:
    assert settings_from_params(dict.fromkeys(SCHEMAS)) == {}
    assert settings_from_params({}) == {}


def test_settings_carry_the_keys_of_the_file_and_are_accepted_by_it() -> None:
    settings = settings_from_params({"zone": "GB", "epochs": 2, "deadline": "8h", "precision": None, "fresh": True})
    assert settings == {"grid.zone": "GB", "training.epochs": 2, "scheduler.deadline": "8h"}
    assert load_config(CONFIGS_FOLDER / "optimized.yaml", settings).values.training.epochs == 2


def test_start_now_overrides_the_policy_even_one_given_beside_it() -> None:
    assert settings_from_params({"start_now": True, "policy": "threshold"}) == {"scheduler.policy": "immediate"}
    assert settings_from_params({"start_now": False}) == {}


def test_the_file_is_one_of_the_list() -> None:
    assert {"baseline.yaml", "optimized.yaml", "demo.yaml"} <= set(configuration_files())
    assert config_path_from_params({}, "baseline.yaml") == CONFIGS_FOLDER / "baseline.yaml"
    assert config_path_from_params({"config": "demo.yaml"}, "baseline.yaml").name == "demo.yaml"
    for name in ("../configs/demo.yaml", "/etc/passwd", "demo"):
        with pytest.raises(ConfigurationError, match=r"is not in include/configs; choose one of baseline\.yaml"):
            config_path_from_params({"config": name}, "baseline.yaml")
