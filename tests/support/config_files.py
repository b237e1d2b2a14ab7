"""Small configuration files for tests: a replayed typical day, and a subset of MNIST."""

from pathlib import Path
from typing import Any

import yaml
from lowtide.config.loader import PROJECT_ROOT


def write_config(folder: Path, **changes: Any) -> Path:
    """Write a configuration that trains in seconds; ``changes`` are dotted keys with ``__`` for dots."""
    raw: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "include/configs/demo.yaml").read_text())
    raw["artifacts_root"] = str(folder / "artifacts")
    raw["training"]["data"]["kwargs"] = {"train_limit": 1000, "test_limit": 500}
    raw["training"] |= {"epochs": 1, "micro_batch_size": 50, "accumulation_steps": 2, "device": "cpu"}
    raw["tracker"]["interval"] = "1s"
    for key, value in changes.items():
        *sections, leaf = key.split("__")
        node = raw
        for section in sections:
            node = node[section]
        node[leaf] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path
