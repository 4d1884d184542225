"""What a reader of the sources feels: short functions, complete annotations, docstrings, calls that read alone."""

from __future__ import annotations

import ast
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
Function = ast.FunctionDef | ast.AsyncFunctionDef
LONGEST, MEDIAN = 50, 10
POSITIONAL = 3
KERNELS = ("njit", "intrinsic")  # numba takes these by position alone


def functions(text: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def annotated(function: Function) -> bool:
    arguments = [a for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
    return function.returns is not None and all(a.annotation for a in arguments)


def documented(function: Function) -> bool:
    return function.name.startswith("_") or ast.get_docstring(function) is not None


def public(tree: ast.AST) -> list[ast.FunctionDef]:
    """Functions and methods that other modules may call, constructors among them, but not numba's kernels."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += public(node)
        elif isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            decorators = [ast.unparse(d) for d in node.decorator_list]
            found += [] if any(kernel in d for kernel in KERNELS for d in decorators) else [node]
        elif isinstance(node, ast.If):
            found += public(node)
    return found


def by_position(function: ast.FunctionDef) -> int:
    arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len(arguments) - (arguments[:1] in (["self"], ["cls"]))


@dataclass(frozen=True)
class Seen:
    """A function of the sources; not its tree, which would fill the memory of every later test."""

    name: str
    lines: int
    annotated: bool
    documented: bool


@pytest.fixture(scope="module")
def found() -> list[Seen]:
    return [
        Seen(f"{path.relative_to(SOURCE)}:{f.lineno} {f.name}", length(f), annotated(f), documented(f))
        for path in sorted(SOURCE.rglob("*.py"))
        for f in functions(path.read_text(encoding="utf-8"))
    ]


def test_functions_are_short(found: list[Seen]) -> None:
    assert len(found) > 1000
    assert [f.name for f in found if f.lines > LONGEST] == []
    assert statistics.median(f.lines for f in found) <= MEDIAN


def test_functions_are_annotated(found: list[Seen]) -> None:
    assert [f.name for f in found if not f.annotated] == []


def test_public_functions_have_a_docstring(found: list[Seen]) -> None:
    assert [f.name for f in found if not f.documented] == []


def test_public_functions_take_at_most_three_parameters_by_position() -> None:
    every = [(path, f) for path in sorted(SOURCE.rglob("*.py")) for f in public(ast.parse(path.read_text("utf-8")))]
    assert len(every) > 700
    many = [f"{path.relative_to(SOURCE)}:{f.lineno} {f.name}" for path, f in every if by_position(f) > POSITIONAL]
    assert many == []


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("def f(a, b, c, d): ...", [4]),
        ("def f(a, b, c, *, d): ...", [3]),
        ("class C:\n def __init__(self, a, b, c, d): ...\n def _f(self, a, b, c, d): ...", [4]),
        ("class C:\n @classmethod\n def of(cls, a, b, c, d): ...", [4]),
        ("class _C:\n def f(self, a, b, c, d): ...", []),
        ("@njit(**OPTIONS)\ndef f(a, b, c, d): ...", []),
        ("def f(a):\n def inner(a, b, c, d): ...", [1]),
    ],
)
def test_parameters_by_position_are_counted(text: str, counts: list[int]) -> None:
    assert [by_position(f) for f in public(ast.parse(text))] == counts


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("def f(a: int) -> int:\n    '''Is.'''\n    return a", (True, True)),
        ("def f(a) -> int:\n    '''Is.'''\n    return a", (False, True)),
        ("def f(*, a) -> int: ...", (False, False)),
        ("class C:\n    async def f(self, a: int): ...", (False, False)),
        ("class C:\n    def _f(self) -> None: ...", (True, True)),
    ],
)
def test_what_is_missing_is_seen(text: str, is_whole: tuple[bool, bool]) -> None:
    (function,) = functions(text)
    assert (annotated(function), documented(function)) == is_whole
    assert length(function) == text.count("\n") + 1 - text.startswith("class")
