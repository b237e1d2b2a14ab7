"""Which environment variables the training child may see: an allow-list, so that a new secret stays out by default."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from include.errors import ConfigurationError

ALLOWED = (
    *("PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
    *("CUDA_*", "NVIDIA_*", "OMP_*", "MKL_*", "OPENBLAS_*", "PYTORCH_*", "TORCH_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_*", "REQUESTS_CA_BUNDLE"),
)
"""Patterns of names; ``training.environment`` adds single names to them."""


def child_environment(
    parent: Mapping[str, str], *, extra: tuple[str, ...], project_root: Path, data_folder: Path
) -> dict[str, str]:
    """Return the child's whole environment.

    :param extra: the names in ``training.environment``; one that is not set is left out.
    :raises ConfigurationError: an ``AIRFLOW*`` name in ``extra``: those carry connections, keys and the database's address.
    """
    for name in extra:
        if name.upper().startswith("AIRFLOW"):
            raise ConfigurationError(
                f"training.environment lists '{name}', but Airflow's own variables hold secrets and never reach the"
                " training child; remove it and pass what the model needs under another name"
            )
    allowed = {name: value for name, value in parent.items() if name in extra or _is_allowed(name)}
    return allowed | {
        "PYTHONPATH": str(project_root),
        "PYTHONUNBUFFERED": "1",  # a killed child's last words must be in the log, not in its buffer
        "LOWTIDE_DATA_DIR": str(data_folder),
    }


def _is_allowed(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ALLOWED)
