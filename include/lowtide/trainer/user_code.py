"""Imports the user's callables by the import paths in the YAML file, and torchvision beside a CPU build of PyTorch."""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import torch

from lowtide.config.schema import ImportedConfig
from lowtide.errors import ConfigurationError, UserError
from lowtide.trainer.import_paths import no_module, no_name

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[torch.library.Library] = []
"""Keeps the declarations alive."""
_Found = TypeVar("_Found")


def _with_operators(action: Callable[[], _Found]) -> _Found:
    """Do something that may import torchvision, and again with its operators declared if they were missing.

    torchvision has no CPU wheel for Linux. Beside a CPU build of PyTorch, 0.28 installs, but every import fails with "operator
    torchvision::nms does not exist", because it registers fake kernels for operators that were never loaded. With the two
    operators declared first, datasets, transforms.v2 and models work; ``torchvision.ops.nms`` (detection models) does not.
    """
    try:
        return action()
    except RuntimeError as error:
        if _libraries or "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:  # half imported
        del sys.modules[name]
    _libraries.append(torch.library.Library("torchvision", "DEF"))
    for schema in _SCHEMAS:
        _libraries[0].define(schema)
    return action()


def load_callable(imported: ImportedConfig, *, key: str) -> Callable[[], Any]:
    """Import what ``package.module:callable`` names and bind its kwargs; nothing is called yet.

    :param key: the section of the configuration, for the error message.
    :raises ConfigurationError: no such module or name, a module that fails, not callable, or kwargs that do not fit.
    """
    found = load_attribute(imported, key=key)
    _check_kwargs(found, imported.kwargs, key, imported.path)
    return lambda: _call(found, imported.kwargs, f"{key}.path '{imported.path}'")


def load_attribute(imported: ImportedConfig, *, key: str) -> Callable[..., Any]:
    """Import what ``package.module:callable`` names.

    :raises ConfigurationError: no such module or name, a module that fails, or not callable.
    """
    module_name, _, name = imported.path.partition(":")
    place = f"{key}.path '{imported.path}'"
    module = _module(module_name, place)
    try:
        found = getattr(module, name)
    except AttributeError:
        raise no_name(place, module_name, name, dir(module)) from None
    if not callable(found):
        raise ConfigurationError(
            f"{place}: '{name}' is {type(found).__name__}, not a callable; name a function or class"
        )
    function: Callable[..., Any] = found
    return function


def _module(name: str, place: str) -> ModuleType:
    try:
        return _with_operators(lambda: importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise no_module(place, error.name) from error
        raise ConfigurationError(
            f"{place}: module '{name}' needs '{error.name}', which is not installed; install it"
        ) from error
    except Exception as error:  # a user's module may raise anything
        raise ConfigurationError(f"{place}: importing '{name}' raised {describe(error)}; fix that module") from error


def _check_kwargs(function: Callable[..., Any], kwargs: dict[str, Any], key: str, path: str) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # some built-in callables have none
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        raise ConfigurationError(f"{key}.kwargs do not fit {path}{signature}: {error}; fix them") from None


def _call(function: Callable[..., Any], kwargs: dict[str, Any], place: str) -> Any:
    try:
        return _with_operators(lambda: function(**kwargs))
    except UserError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise ConfigurationError(f"{place} raised {describe(error)}; fix it or its kwargs") from error


def describe(error: BaseException) -> str:
    """Return type and first line of an exception: PyTorch's messages continue with pages of C++ frames."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
