"""The password and the keys of a local Airflow: generated once, kept in files that only their owner can read."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

USER = "admin"


def password(file: Path) -> str:
    """Return the admin's password, in the form of file that the simple auth manager reads."""
    return _kept(file, lambda: {USER: secrets.token_urlsafe(12)})[USER]


def keys(file: Path) -> dict[str, str]:
    """Return the keys that every component must share: ``fernet``, ``jwt`` and ``session``."""
    return _kept(
        file,
        lambda: {
            "fernet": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "jwt": secrets.token_urlsafe(64),
            "session": secrets.token_urlsafe(32),
        },
    )


def _kept(file: Path, generate: Callable[[], dict[str, str]]) -> dict[str, str]:
    if file.exists():
        values: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return values
    values = generate()
    temporary = file.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(values, stream)
    temporary.replace(file)
    return values
