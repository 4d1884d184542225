"""`microexp provenance FILE`: print what a result was made from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from microexp.errors import UserError, one_line
from microexp.run import provenance, storage

FIRST = ("stage", "keys", "parameters", "inputs", "code", "libraries")


def describe(record: Mapping[str, Any]) -> Iterator[str]:
    """The record as lines `key: value`, nested ones indented; inputs as one line each."""
    order = [k for k in FIRST if k in record] + sorted(k for k in record if k not in FIRST)
    for key in order:
        yield from _lines(key, record[key], "")


def _lines(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield f"{indent}{key}:"
        for inner in value:
            yield from _lines(str(inner), value[inner], indent + "  ")
    elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        yield f"{indent}{key}:"
        yield from (f"{indent}  " + "  ".join(str(v) for v in entry.values()) for entry in value)
    else:
        yield f"{indent}{key}: {value if isinstance(value, str) else json.dumps(value)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp provenance`."""
    parser.add_argument("file", type=Path, help="a result")
    parser.add_argument("--json", action="store_true", help="print the record as it is stored")


def main(args: argparse.Namespace) -> int:
    """`microexp provenance FILE [--json]`; exit status 1 when the file is not the one that was recorded.

    Raises:
        UserError: when the file or its record is not there.
    """
    if not args.file.is_file():
        raise UserError(file=args.file, problem="no such file", expected="a result of a run")
    record = provenance.read_provenance(args.file)
    if args.json:
        print(json.dumps(record, indent=1, sort_keys=True))
    else:
        print("\n".join(one_line(line) for line in describe(record)))
    if storage.file_sha256(args.file) == record["sha256"]:
        return 0
    print("the file has changed since this was recorded: its SHA-256 differs")
    return 1
