"""What makes two runs comparable."""

import json

from include.config import LowtideConfig


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


def _kwargs(kwargs: dict[str, object]) -> str:
    return json.dumps(kwargs, sort_keys=True) if kwargs else ""
