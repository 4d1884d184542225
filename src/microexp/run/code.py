"""A hash of the code that a stage runs, so that a change in it re-runs the stage and no other change does.

Snakemake does not see package code. Which modules a stage runs follows from their `import` statements and from the
names of modules in their texts (`importlib` takes those), read without importing anything. What is hashed is the syntax
tree without docstrings: comments, docstrings and layout may change.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from microexp.commands.main import STAGES

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the package."""

INFRASTRUCTURE = frozenset(
    f"microexp.{name}"
    for name in (
        "__init__",
        "commands.main",
        "config",
        "errors",
        "run.names",
        "run.log",
        "run.runner",
        "run.stage",
        "run.watchdog",
    )
)
"""Modules that carry a stage but do not enter its results."""

MODULE = re.compile(r"microexp(\.\w+)+")
DATA = (".npz", ".json", ".html", ".css", ".txt")


@functools.cache
def code_hash(stage: str) -> str:
    """Hash of all modules (and the data files that they name) that sub-command `stage` runs; "" before it exists."""
    digest = hashlib.sha256()
    for module in modules_of(STAGES[stage][0]):
        digest.update(_module_hash(module))
    return digest.hexdigest()[:16]


@functools.cache
def modules_of(start: str) -> tuple[str, ...]:
    """`start` and every module of the package that it imports, directly or not, sorted; without infrastructure."""
    found: set[str] = set()
    queue = [start]
    while queue:
        module = queue.pop()
        if module in found or module in INFRASTRUCTURE or _file(module) is None:
            continue
        found.add(module)
        queue.extend(_imports(module))
    return tuple(sorted(found))


def _file(module: str) -> Path | None:
    """Source of `module`: `a.b` is `a/b.py`, or the package `a/b/__init__.py`; None when it is not ours."""
    head, *parts = module.split(".")
    if head != "microexp":
        return None
    base = ROOT.joinpath(*parts)
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if parts and file.is_file():
            return file
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    file = _file(module)
    assert file is not None
    return ast.parse(file.read_bytes())


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(_imported(_tree(module)))


def _imported(node: ast.AST) -> Iterator[str]:
    """Names of modules that `node` imports when it runs; what only type checkers import is left out.

    A text that names a module counts: it stands in a table from which a module is imported when it is needed.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.Constant):
            if isinstance(child.value, str) and MODULE.fullmatch(child.value):
                yield child.value
        elif isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            yield from (name for other in child.orelse for name in _imported(other))
        else:
            yield from _imported(child)


@functools.cache
def _module_hash(module: str) -> bytes:
    tree = _tree(module)
    data = _data_files(module, tree)
    _strip_docstrings(tree)
    digest = hashlib.sha256(ast.dump(tree).encode())
    for file in data:
        digest.update(file.read_bytes())
    return digest.digest()


def _strip_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            node.body = [
                s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
            ]  # a string alone is a docstring, also under an attribute


def _data_files(module: str, tree: ast.Module) -> list[Path]:
    """Data files that `module` reads: those in its folder or below whose name stands in it, and those in a folder
    beside it (no package) whose name stands in it, as one template takes in others."""
    file = _file(module)
    assert file is not None
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if text.endswith(DATA):
                found.update(file.parent.rglob(Path(text).name))
            elif text.isidentifier() and _holds_data(file.parent / text):
                found.update(p for p in (file.parent / text).rglob("*") if p.name.endswith(DATA))
    return sorted(found)


def _holds_data(folder: Path) -> bool:
    return folder.is_dir() and not (folder / "__init__.py").exists()
