"""What makes two runs comparable, and two attempts parts of one run."""

import json
from typing import Any

from include.config import LowtideConfig
from include.records import ReplayAnchor
from include.trainer.checkpoint.identity import fingerprint


def comparison_key(config: LowtideConfig) -> str:
    """Return model, data, zone and effective batch as one line; runs are compared only where it is equal.

    A replayed grid is a grid of its own: a demo must never serve as the baseline of a real run.
    """
    training = config.training
    parts = {
        "model": training.model.path + _kwargs(training.model.kwargs),
        "data": training.data.path + _kwargs(training.data.kwargs),
        "zone": config.grid.zone + (" (replay)" if config.grid.provider == "replay" else ""),
        "effective_batch_size": str(training.effective_batch_size),
    }
    return "; ".join(f"{name}={value}" for name, value in parts.items())


def run_identity(config: LowtideConfig, anchor: ReplayAnchor | None) -> dict[str, Any]:
    """Return what must be equal for an attempt to go on with an earlier one's checkpoint and ledger, as JSON values.

    What is trained, whose grid it is booked at, the PUE and whose energy counts; not when it may start, nor how often it is measured.
    """
    grid = config.grid.model_dump(
        mode="json", include={"zone", "provider", "region", "emission_factor_type", "signal_type"}
    )
    return {
        "training": fingerprint(config.training),
        "grid": grid,
        "tracker": {"pue": config.tracker.pue, "scope": config.tracker.scope},
        "replay": anchor.model_dump(mode="json") if anchor else None,
    }


def _kwargs(kwargs: dict[str, object]) -> str:
    return json.dumps(kwargs, sort_keys=True) if kwargs else ""
