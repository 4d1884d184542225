"""YAML that people write: read strictly, and refused before it can cost much.

YAML lets a key stand twice (the first vanishes), a few lines stand for millions of values (aliases of aliases), and a
value hold itself. None of that is of use in a configuration.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from microexp.errors import UserError

MAX_BYTES = 200_000
MAX_VALUES = 20_000
"""Values that a text may stand for, aliases written out."""
MAX_DEPTH = 50

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: str | Path) -> object:
    """The one document of a YAML (or JSON) file, as `yaml.safe_load` gives it.

    Raises:
        UserError: in one line, when it cannot be read, is no YAML, holds a key twice, or is far too large.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return parse(data.decode("utf-8-sig"), path)
    except OSError as error:
        raise UserError(file=path, problem=error.strerror, expected="a YAML file") from error
    except UnicodeDecodeError as error:
        raise UserError(file=path, problem=error, expected="text in UTF-8") from error


def parse(text: str, file: object) -> object:
    """The one document of a text that is in `file`.

    Raises:
        UserError: as `read`.
    """
    if len(text) > MAX_BYTES:
        raise UserError(file=file, problem=f"more than {MAX_BYTES} bytes", expected="a configuration")
    if str(file).endswith(".json"):
        text = json.dumps(_json(text, file))  # JSON allows tabs where YAML does not
    try:
        _check_depth(text, file)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node, file)
            _check_keys(node, file, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise UserError(file=file, problem=" ".join(str(error).split()), expected="valid YAML") from error


def _json(text: str, file: object) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        """A mapping; a key that is given twice is an error."""
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise UserError(file=file, where=key, problem="given twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise UserError(file=file, problem=error, expected="valid JSON") from error


def _check_depth(text: str, file: object) -> None:
    """The parser itself goes as deep as the text does, so it is stopped on the way down."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_much(file, event.start_mark, f"nested more than {MAX_DEPTH} deep")
        if count > 4 * MAX_VALUES:
            raise _too_much(file, event.start_mark, f"more than {MAX_VALUES} values")


def _check_size(root: yaml.Node, file: object) -> None:
    """Count values with every alias written out: each node once, by what its parts count."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        """How many values a node stands for, with what its aliases repeat."""
        if id(node) in open_nodes:
            raise _too_much(file, node.start_mark, "a value that holds itself")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _parts(node)))
            open_nodes.discard(id(node))
        if sizes[id(node)] > MAX_VALUES:
            raise _too_much(file, node.start_mark, f"more than {MAX_VALUES} values")
        return sizes[id(node)]

    size(root)


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _check_keys(node: yaml.Node, file: object, place: tuple[str, ...]) -> None:
    """No key twice in any mapping; `place` are the keys on the way to `node`."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, file, place)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "a key that is no text"
        line = key.start_mark.line + 1
        first = lines.get((key.tag, name))
        if first is not None and isinstance(key, yaml.ScalarNode):
            both = f"lines {first} and {line}" if first != line else f"line {line}"
            raise UserError(file=file, where=".".join((*place, name)), problem=f"given twice, {both}")
        lines[key.tag, name] = line
        _check_keys(value, file, (*place, name))


def _too_much(file: object, mark: Any, what: str) -> UserError:
    return UserError(file=file, where=f"line {mark.line + 1}", problem=what, expected="a configuration")
