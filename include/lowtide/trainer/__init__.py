"""The optimisation loop, in a child process; what a user's own model and data need: ``TrainingData`` and ``StreamedData``.

The parent's modules never import PyTorch: ``child_process``, ``protocol``, ``mnist``. The other modules belong to the child, which
starts in ``worker``. The public names load PyTorch when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowtide.trainer.data import StreamedData, TrainingData

__all__ = ["StreamedData", "TrainingData"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("lowtide.trainer.data"), name)
