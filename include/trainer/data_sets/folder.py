"""Where data sets are kept; apart from what fetches them, which needs an HTTP client that no DAG parsing should load."""

import os
from pathlib import Path

from include.config import PROJECT_ROOT

DATA_DIR_VARIABLE = "LOWTIDE_DATA_DIR"


def default_data_folder() -> Path:
    """Return ``LOWTIDE_DATA_DIR``, or ``.data`` in the project."""
    given = os.environ.get(DATA_DIR_VARIABLE)
    return Path(given) if given else PROJECT_ROOT / ".data"
