"""Reads a file of JSON lines that may be missing or damaged: what is wrong is told, the rest is read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def objects(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; a missing file has none, a line that is no object is told."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{path} cannot be read here ({error.strerror or error})")
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            yield data
        else:
            problems.append(f"{path}, line {number}: is torn or not JSON, and is left out")
