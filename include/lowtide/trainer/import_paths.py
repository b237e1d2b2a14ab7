"""Finds what ``training.model.path`` and ``training.data.path`` name without importing it: before a wait, not after it.

Standard library only: the parent imports neither PyTorch nor a user's code.
"""

import difflib
import importlib.util
import os
import re
import subprocess
import symtable
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from lowtide.config.schema import TrainingConfig
from lowtide.errors import ConfigurationError
from lowtide.trainer.child_process import child_environment

_HIDES_MODULES = re.compile(rb"__path__|sys\.modules")
_HIDES_NAMES = re.compile(
    rb"import \*|\bglobal\b|__getattr__|__dict__|sys\.modules|\b(globals|locals|vars|setattr|exec)\("
)
"""What a file with one of these defines, only running it shows."""


def check_import_paths(training: TrainingConfig, project_root: Path) -> None:
    """Check that the modules of model and data exist and define the names behind the colons, as far as their files show.

    What only running a file shows is left to the training child, as are the arguments.

    :raises ConfigurationError: no such module, no such name in it, or a file that is not Python.
    """
    folders = _folders_of_the_child(training, project_root)
    for key, imported in (("training.model", training.model), ("training.data", training.data)):
        place = f"{key}.path '{imported.path}'"
        module, _, name = imported.path.partition(":")
        spec = _find(module, place, folders)
        if spec is None or (source := _source(spec, unless=_HIDES_NAMES)) is None:
            continue
        try:
            symbols = symtable.symtable(importlib.util.decode_source(source), str(spec.origin), "exec").get_symbols()
        except (SyntaxError, ValueError) as error:  # ValueError: null bytes
            raise ConfigurationError(f"{place}: '{module}' is not valid Python: {error}; fix that module") from None
        known = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
        if name not in known:
            raise no_name(place, module, name, known)


def no_module(place: str, module: str) -> ConfigurationError:
    """Return the error for a module that does not exist."""
    return ConfigurationError(
        f"{place}: there is no module '{module}'; put it into the project folder or install its package"
    )


def no_name(place: str, module: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """Return the error for a name that a module does not define, with the nearest of those that it does."""
    near = difflib.get_close_matches(name, known, n=1)
    offer = f"did you mean '{near[0]}'?" if near else "check the name behind the colon."
    return ConfigurationError(f"{place}: module '{module}' has no '{name}'; {offer}")


def _folders_of_the_child(training: TrainingConfig, project_root: Path) -> list[str]:
    """Return where the training child finds modules: its path has neither Airflow's folders nor the parent's PYTHONPATH."""
    environment = child_environment(os.environ, extra=training.environment, project_root=project_root)
    command = [sys.executable, "-c", "import sys; print(*sys.path[1:], sep='\\n')"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def _find(module: str, place: str, folders: list[str]) -> ModuleSpec | None:
    """Return where a module is; None if only importing its packages can show it."""
    name, *below = module.split(".")
    others = (finder for finder in sys.meta_path if finder is not PathFinder)  # built in, or an editable installation
    spec = PathFinder.find_spec(name, folders) or next(
        filter(None, (one.find_spec(name, None) for one in others)), None
    )
    for part in below:
        if spec is None:
            break
        if spec.origin and _source(spec, unless=_HIDES_MODULES) is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations or ())
    if spec is None:
        raise no_module(place, name)
    return spec


def _source(spec: ModuleSpec, *, unless: re.Pattern[bytes]) -> bytes | None:
    """Return the text of a module; None without a file that can be read, or where the pattern is in it."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        text = Path(spec.origin).read_bytes()
    except OSError:
        return None
    return None if unless.search(text) else text
