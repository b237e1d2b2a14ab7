"""Loads one YAML file and a few settings into one validated configuration; each error is one line with the remedy."""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lowtide.config.schema import LowtideConfig, artifacts_folder
from lowtide.errors import ConfigurationError

PROJECT_VARIABLE = "LOWTIDE_PROJECT_ROOT"
ARTIFACTS_VARIABLE = "LOWTIDE_ARTIFACTS_ROOT"
DATA_VARIABLE = "LOWTIDE_DATA_DIR"
_MERGE_TAG = "tag:yaml.org,2002:merge"


def find_project_root(module: Path, environment: Mapping[str, str], current: Path) -> Path:
    """Return the project's folder as an absolute path: ``include/configs``, relative paths and defaults lie below it.

    In this order: ``LOWTIDE_PROJECT_ROOT``; the checkout, if ``module`` lies in ``include/lowtide`` beside a
    ``pyproject.toml``; ``AIRFLOW_HOME``; the current folder.

    :param module: a file two folders below ``include``, where the package is a checkout.
    """
    include = module.parents[2]
    checkout = include.parent
    if given := environment.get(PROJECT_VARIABLE):
        return Path(given).expanduser().resolve()
    if include.name == "include" and (checkout / "pyproject.toml").is_file():
        return checkout
    return Path(environment.get("AIRFLOW_HOME") or current).expanduser().resolve()


PROJECT_ROOT = find_project_root(Path(__file__).resolve(), os.environ, Path.cwd())


def default_data_folder() -> Path:
    """Return the folder of data sets: ``LOWTIDE_DATA_DIR``, or ``.data`` in the project."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given) if given else PROJECT_ROOT / ".data"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A validated configuration, its source, and the SHA-256 of its canonical form."""

    values: LowtideConfig
    source: str
    sha256: str

    @property
    def artifacts_path(self) -> Path:
        """The artifact root as an absolute path; ``LOWTIDE_ARTIFACTS_ROOT`` sets it for a whole deployment.

        :raises ConfigurationError: that variable names an object store.
        """
        return deployed_artifacts_path() or artifacts_folder(self.values.artifacts_root, PROJECT_ROOT)


def deployed_artifacts_path() -> Path | None:
    """Return the artifact root of the whole deployment, which overrides any file's; None if it is not set.

    :raises ConfigurationError: ``LOWTIDE_ARTIFACTS_ROOT`` names an object store.
    """
    deployed = os.environ.get(ARTIFACTS_VARIABLE)
    if not deployed:
        return None
    try:
        return artifacts_folder(deployed, PROJECT_ROOT)
    except ValueError as error:
        raise ConfigurationError(f"{ARTIFACTS_VARIABLE}: {error}") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that occurs twice in one mapping: YAML would silently take the last."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE_TAG:  # "<<: *anchor" may be beside the keys that it supplies
            continue
        key = loader.construct_object(key_node)
        if not isinstance(key, Hashable):
            raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"the key '{key}' occurs twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


# YAML 1.1 reads 1e-3, the usual way to write a learning rate, as text, since it has no dot
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_config(path: Path, settings: Mapping[str, Any] | None = None, *, settings_name: str = "--set") -> LoadedConfig:
    """Read a configuration file and replace settings such as ``{"training.epochs": 3}`` in it.

    :param settings_name: how the user gave the settings, for the error message.
    :raises ConfigurationError: for each mistake one line that names the file or setting, the key, the value and the remedy.
    """
    raw = _read_mapping(path)
    settings = settings or {}
    for key, value in settings.items():
        _apply(raw, key, value, settings_name)
    try:
        values = LowtideConfig.model_validate(raw)
    except ValidationError as error:
        # unknown keys first: of a misspelt key, "is missing" is the half that does not help
        problems = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        lines = [_sentence(problem, path, settings, settings_name) for problem in problems]
        raise ConfigurationError("\n".join(lines)) from None
    canonical = json.dumps(values.model_dump(mode="json"), sort_keys=True)
    return LoadedConfig(values=values, source=str(path), sha256=hashlib.sha256(canonical.encode()).hexdigest())


def parse_setting(text: str) -> tuple[str, Any]:
    """Read ``training.epochs=3``; the value is read as YAML reads it.

    :raises ConfigurationError: no ``=``, or a value that is not YAML.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigurationError(f"--set {text!r} is not key=value; write e.g. --set training.epochs=3")
    try:
        return key.strip(), yaml.load(value, Loader=_UniqueKeyLoader)  # noqa: S506 it is a SafeLoader
    except yaml.YAMLError:
        raise ConfigurationError(f"--set {key.strip()}: {value!r} is not a YAML value; quote it") from None


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        # _UniqueKeyLoader is a SafeLoader
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: there is no such configuration file; see include/configs for examples"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); check the path and its permissions") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}{_yaml_problem(error)}; fix the YAML there") from None
    if not isinstance(raw, dict):
        raise ConfigurationError(
            f"{path}: is not a mapping of sections; see include/configs/optimized.yaml for the shape"
        )
    return raw


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{where}: {getattr(error, 'problem', None) or 'is not YAML'}"


def _apply(raw: dict[str, Any], key: str, value: Any, settings_name: str) -> None:
    *parents, leaf = key.split(".")
    node = raw
    for parent in parents:
        below = node.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigurationError(
                f"{settings_name} {key}: '{parent}' is not a section; name a key such as training.epochs"
            )
        node[parent] = below
        node = below
    node[leaf] = value


def _sentence(error: ErrorDetails, path: Path, settings: Mapping[str, Any], settings_name: str) -> str:
    key = ".".join(str(part) for part in error["loc"])
    place = settings_name if key in settings else str(path)
    # "--set training.epochs is 0, which cannot be used": the key is the place
    joint = " " if key in settings and error["type"] != "extra_forbidden" else ": "
    return f"{place}{joint}{_problem(error, key)}"


def _problem(error: ErrorDetails, key: str) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_near(key)}"
    if error["type"] == "missing":
        return f"the key '{key}' is missing; add it"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    if not key:  # a check across sections names its keys itself
        return message
    message, value = message.replace("Input should be", "it should be"), repr(error["input"])
    return f"{key} is {value if len(value) <= 80 else value[:77] + '...'}, which cannot be used: {message}"


def _near(key: str) -> str:
    keys = [known for known, _ in all_fields()]
    if close := difflib.get_close_matches(key, keys, n=1, cutoff=0.6):
        return f"; did you mean '{close[0]}'?"
    section = key.rpartition(".")[0]
    allowed = [known for known in keys if known.rpartition(".")[0] == section]
    return f"; known here: {', '.join(allowed)}" if allowed else "; remove it"


def all_fields(model: type[BaseModel] = LowtideConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every dotted key that a configuration file may hold, with its field; a section before its keys."""
    for name, field in model.model_fields.items():
        yield prefix + name, field
        if section := section_of(field.annotation):
            yield from all_fields(section, f"{prefix}{name}.")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section's model that a field holds; None for a field that holds a value."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
