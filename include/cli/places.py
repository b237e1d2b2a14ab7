"""Where commands that read no configuration find what runs have left."""

from pathlib import Path

from include.config import PROJECT_ROOT
from include.config.loader import deployed_artifacts_path


def artifacts_root(option: Path | None) -> Path:
    """Return the folder that was given, else the deployment's artifact root, else the project's folder ``artifacts``.

    :raises ConfigurationError: the deployment's is an object store.
    """
    return option.resolve() if option else deployed_artifacts_path() or PROJECT_ROOT / "artifacts"
