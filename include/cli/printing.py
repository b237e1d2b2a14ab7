"""Results on standard output."""

import json
from typing import Any


def print_json(values: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(values, indent=2, allow_nan=False))
