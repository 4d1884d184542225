"""The record beside each result, `NAME.prov.json`: its SHA-256, what it was made from, and a hash of its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.run.names import check_place
from microexp.run.storage import blamed_on, damaged, file_sha256, json_text, unreadable, write_text

PROVENANCE = ".prov.json"
RECORD_HASH = "record_sha256"
"""Key of a record's hash over its own bytes, which are hashed with 64 zeros in its place."""
_RECORD_HASH = re.compile(rb'"' + RECORD_HASH.encode() + rb'": "([0-9a-f]{64})"')


def provenance_path(path: str | Path) -> Path:
    """Path of the provenance of result `path`."""
    path = Path(path)
    return path.with_name(path.name + PROVENANCE)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What is known of result `path`; the record is believed only when its own hash fits its bytes.

    Raises:
        Damaged: when the record is not as it was written.
        Unreadable: when the system does not let us read it.
        UserError: when there is none.
    """
    beside = provenance_path(path)
    try:
        data = beside.read_bytes()
    except FileNotFoundError as error:
        raise UserError(file=path, problem="no provenance", expected=f"{beside.name} beside it") from error
    except OSError as error:
        raise unreadable(beside, error) from error
    own = _RECORD_HASH.findall(data)
    if len(own) != 1 or _own_hash(data, own[0]) != own[0].decode():
        raise damaged(beside, "a damaged provenance record (its own SHA-256 differs)")
    try:
        record = json.loads(data)
    except ValueError as error:
        raise damaged(beside, "a damaged provenance record (no JSON)") from error
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise damaged(beside, "a damaged provenance record (no SHA-256)")
    return record


def _own_hash(data: bytes, own: bytes) -> str:
    return hashlib.sha256(data.replace(own, b"0" * 64)).hexdigest()


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the provenance of result `path`, with its size and SHA-256 as they are now, and a hash of its own."""
    path = Path(path)
    zeros = "0" * 64
    whole = {**record, "size_bytes": path.stat().st_size, "sha256": file_sha256(path), RECORD_HASH: zeros}
    text = json_text(whole)
    place = text.rindex(f'"{RECORD_HASH}": "{zeros}"')
    own = hashlib.sha256(text.encode()).hexdigest()
    write_text(provenance_path(path), text[:place] + text[place:].replace(zeros, own, 1))


def remove_provenance(path: str | Path) -> None:
    """Remove the provenance of result `path`, if there is any, before the result is written anew.

    Raises:
        UserError: when that is not allowed.
    """
    with blamed_on(Path(path)):
        provenance_path(path).unlink(missing_ok=True)


def check_content(path: Path, record: Mapping[str, Any]) -> None:
    """Compare size and SHA-256 of `path` with its record.

    Raises:
        Damaged: when they differ.
        Unreadable: when the system does not let us read the file.
    """
    try:
        size = path.stat().st_size
        if size != record.get("size_bytes"):
            raise damaged(path, f"{size} bytes, was written with {record.get('size_bytes')}")
        if file_sha256(path) != record["sha256"]:
            raise damaged(path, "its bytes have changed since it was written (SHA-256)")
    except OSError as error:
        raise unreadable(path, error) from error


def input_hash(path: str | Path, *, anywhere: bool = True) -> dict[str, Any]:
    """Name, stage, SHA-256 and path in the run's folder of an input with a record; of a foreign one name and SHA-256.

    All of the file is read, whatever its size: SHA-256 runs at about 1.2 GB/s, the checksums inside a shard cannot tell
    0x0000 from 0xFFFF.

    Args:
        path: the input.
        anywhere: whether it may lie at a place of another form than it was written for, as a copy may.

    Raises:
        Damaged: when the input, or its record, is not as it was written.
        Unreadable: when the system does not let us read it.
        UserError: when it was moved to another unit's place.
    """
    path = Path(path)
    try:
        if not provenance_path(path).exists():
            return {"file": path.name, "sha256": file_sha256(path)}
        record = read_provenance(path)
    except OSError as error:
        raise unreadable(path, error) from error
    check_content(path, record)
    check_place(path, record, anywhere=anywhere)
    known = {"file": path.name, "stage": record.get("stage"), "sha256": record["sha256"]}
    return known if path.is_absolute() or ".." in path.parts else {**known, "path": path.as_posix()}
