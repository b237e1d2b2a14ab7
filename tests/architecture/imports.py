"""Reads the imports of a source tree from its syntax, without importing anything."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """One import: who, what, and whether it happens when the file is imported."""

    file: str
    module: str
    line: int
    at_import: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(root: Path, *folders: str) -> list[Import]:
    """Return every import below the folders; paths relative to the root, with forward slashes."""
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    return [found for file in files for found in _imports(file, file.relative_to(root).as_posix())]


def _imports(file: Path, name: str) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    inside = {id(node) for outer in ast.walk(tree) if _delays(outer) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        for module in _modules(node, name):
            yield Import(name, module, getattr(node, "lineno", 0), id(node) not in inside)


def _delays(node: ast.AST) -> bool:
    if isinstance(node, ast.If):  # TYPE_CHECKING: read by mypy only
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _modules(node: ast.AST, file: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, file)
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        constants = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        return [value for value in constants if isinstance(value, str)]
    return []


def _absolute(node: ast.ImportFrom, file: str) -> str:
    if node.level == 0:
        return node.module or ""
    package = file.removesuffix(".py").split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def within(module: str, *packages: str) -> bool:
    """Say whether a module is one of the packages or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
