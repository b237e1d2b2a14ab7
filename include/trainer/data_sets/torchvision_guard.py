"""Imports torchvision also where its compiled operators do not fit the PyTorch that is installed.

torchvision has no CPU wheel for Linux: beside a CPU build of PyTorch, torchvision 0.28 installs cleanly, but every import
ends in "operator torchvision::nms does not exist", because it registers fake kernels for operators that were never
loaded. Declaring the two operators first lets the import through: datasets, transforms.v2 and models work then, while
``torchvision.ops.nms`` itself (detection models) does not.
"""

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[torch.library.Library] = []
"""The declarations live as long as this reference."""


def import_torchvision() -> ModuleType:
    """Return the torchvision package, mended where it needs to be.

    :raises ModuleNotFoundError: it is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not is_missing_operator(error):
            raise
    _drop_half_imported()
    if not _libraries:
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _libraries.append(library)
    return importlib.import_module("torchvision")


def is_missing_operator(error: BaseException) -> bool:
    """Whether an import failed for the reason that this module mends."""
    return isinstance(error, RuntimeError) and "operator torchvision::" in str(error)


def _drop_half_imported() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
