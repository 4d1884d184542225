"""What a reader of the sources feels: functions that fit on a screen, complete annotations, a docstring each."""

from __future__ import annotations

import ast
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
Function = ast.FunctionDef | ast.AsyncFunctionDef
LONGEST, MEDIAN = 50, 10


def functions(text: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def annotated(function: Function) -> bool:
    arguments = [a for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
    return function.returns is not None and all(a.annotation for a in arguments)


def documented(function: Function) -> bool:
    return function.name.startswith("_") or ast.get_docstring(function) is not None


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
