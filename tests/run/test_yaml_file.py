"""Configurations that are wrong, or that would cost much: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from microexp.errors import UserError
from microexp.run import yaml_file


def bomb(levels: int = 9) -> str:
    """A few hundred bytes that stand for 10^levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "a: given twice, lines 1 and 3"),
        ("x:\n  y: 1\n  'y': 2\n", "x.y: given twice, lines 2 and 3"),
        ("x: [{a: 1, a: 2}]\n", "x.a: given twice, line 1"),
        ("a: 1\na: 2\na: 3\n", "a: given twice, lines 1 and 2"),
        (bomb(), "more than 20000 values"),
        ("a: &a {b: *a}\n", "valid YAML|holds itself"),
        ("&a [*a]\n", "holds itself"),
        ("[" * 5000, "line 1: nested more than 50 deep"),
        ("{a: " * 5000, "line 1: nested more than 50 deep"),
        ("- " * 5000 + "x", "line 1: nested more than 50 deep"),
        ("\n".join("  " * n + "a:" for n in range(200)), "line 51: nested more than 50 deep"),
        ("[" + "a," * 90_000 + "]", "values"),
        ("a: " + "x" * 300_000, "more than 200000 bytes"),
        ("a: 2001-99-99\n", "valid YAML"),
        ("a: " + "9" * 5000, "valid YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "valid YAML"),
        ("a: [", "valid YAML"),
        ("a: 1\n---\nb: 2\n", "valid YAML"),
        ("\tа: 1", "valid YAML"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        yaml_file.read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "a: 1", "- 1\n- 2.5\n- yes\n", "base: &b {x: 1}\nmore: {<<: *b, y: 2}\n", "a: {b: 1}\nc: {b: 1}\n",
        "1: a\n'1': b\n", "a: 2001-02-03", "# only a comment",
    ],
)  # fmt: skip
def test_what_is_right_is_read_as_by_everybody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert yaml_file.read(path) == yaml.safe_load(text)


def test_json_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{\n\t"a": [1, 2]\n}')
    assert yaml_file.read(path) == {"a": [1, 2]}
    path.write_text('{"a": 1, "a": 2}')
    with pytest.raises(UserError, match="a: given twice"):
        yaml_file.read(path)


def test_what_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        yaml_file.read(tmp_path / "no.yaml")
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        yaml_file.read(tmp_path / "c.yaml")
