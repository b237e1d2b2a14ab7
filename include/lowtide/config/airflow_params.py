"""The form of a manual trigger: DAG Params, with JSON schemas derived from the configuration's models.

Every Param is nullable, and null means "as in the file". Import paths are not among them: what code runs is decided in
the repository, not in a form.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowtide.config.loader import PROJECT_ROOT
from lowtide.config.schema import LowtideConfig
from lowtide.config.zones import zone_table
from lowtide.errors import ConfigurationError

CONFIGS_FOLDER = PROJECT_ROOT / "include" / "configs"

SETTING_OF_PARAM: dict[str, str] = {
    "zone": "grid.zone",
    "policy": "scheduler.policy",
    "threshold_gco2eq_per_kwh": "grid.threshold_gco2eq_per_kwh",
    "deadline": "scheduler.deadline",
    "epochs": "training.epochs",
    "micro_batch_size": "training.micro_batch_size",
    "accumulation_steps": "training.accumulation_steps",
    "precision": "training.precision",
}
"""Param name -> dotted key of the configuration that it overrides."""

_CONTROL: dict[str, dict[str, Any]] = {
    "start_now": {"type": ["boolean", "null"], "description": "start at once, whatever the policy in the file says"},
    "fresh": {
        "type": ["boolean", "null"],
        "description": "when cleared, forget what an earlier try of this run stored (submission, deadline, checkpoint)",
    },
    "baseline_run_id": {
        "type": ["string", "null"],
        "description": "compare with this run of baseline_training; null = the newest that fits",
    },
}


def configuration_files() -> list[str]:
    """Return the names of the files in include/configs, the fixed list that a trigger may choose from; empty without any."""
    return sorted(path.name for path in CONFIGS_FOLDER.glob("*.yaml"))


def param_schemas() -> dict[str, dict[str, Any]]:
    """Return a nullable JSON schema for each DAG Param, ``config`` first."""
    schemas: dict[str, dict[str, Any]] = {
        "config": {
            "type": ["string", "null"],
            "enum": [None, *configuration_files()],
            "description": "configuration file in include/configs; null = the DAG's own",
        }
    }
    root = LowtideConfig.model_json_schema()
    for name, key in SETTING_OF_PARAM.items():
        schemas[name] = _nullable(_find(root, key))
    schemas["zone"]["enum"] = [None, *sorted(zone_table())]
    schemas["zone"]["description"] = "zone key of Electricity Maps, e.g. GB; a cloud region goes into the file"
    schemas["micro_batch_size"]["description"] = "samples per forward and backward pass; auto goes into the file"
    return schemas | {name: dict(schema) for name, schema in _CONTROL.items()}


def settings_from_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that non-null Params lay over the file."""
    settings = {key: params[name] for name, key in SETTING_OF_PARAM.items() if params.get(name) is not None}
    if params.get("start_now"):
        settings["scheduler.policy"] = "immediate"
    return settings


def config_path_from_params(params: Mapping[str, Any], default: str) -> Path:
    """Return the path of the chosen configuration file.

    :raises ConfigurationError: not one of the files in include/configs (a path would let a trigger read any file).
    """
    name = params.get("config") or default
    files = configuration_files()
    if name not in files:
        remedy = f"choose one of {', '.join(files)}" if files else f"put the file into {CONFIGS_FOLDER}"
        raise ConfigurationError(f"config {name!r} is not in include/configs; {remedy}")
    return CONFIGS_FOLDER / name


def _find(root: dict[str, Any], key: str) -> dict[str, Any]:
    node = root
    for part in key.split("."):
        node = node["properties"][part]
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "title")}
    # of several kinds the form offers the first: a field for a number cannot also take the word auto
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    merged |= {key: value for option in options[:1] for key, value in option.items() if key != "title"}
    kind = merged.get("type", "string")
    merged["type"] = [kind, "null"]
    if "enum" in merged:
        merged["enum"] = [None, *merged["enum"]]
    return merged
