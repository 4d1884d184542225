"""A file of named byte strings with a description: what trained models and states of interrupted trainings are kept in.

The form is safetensors (tensors of bytes, JSON text in the header), so that reading runs no code. The description and
every part are covered by a SHA-256 that is checked before anything is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from microexp.errors import UserError
from microexp.run import storage
from microexp.run.log import log
from microexp.run.storage import MODEL_BYTES, check_size

KEY = "microexp"
HEADER_BYTES, BLOCK_BYTES = 1 << 24, 1 << 20
_NONSENSE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
_OURS = f'"{KEY}":'.encode()


@dataclass(frozen=True)
class Bundle:
    """What a file holds: a description (plain JSON values) and parts by name."""

    about: Mapping[str, Any]
    parts: Mapping[str, bytes]


def pack(bundle: Bundle) -> bytes:
    """The bytes of a file; the same bundle gives the same bytes."""
    from safetensors.numpy import save

    about = json.dumps(bundle.about, sort_keys=True)
    digest = _digest(about, bundle.parts)
    arrays = {name: np.frombuffer(bundle.parts[name], np.uint8) for name in sorted(bundle.parts)}
    text = json.dumps({"about": about, "sha256": digest}, sort_keys=True)
    return _sorted_header(save(arrays, {KEY: text}))


def unpack(data: bytes, file: object = None) -> Bundle:
    """Read what `pack` made.

    Raises:
        UserError: when it is no such file, or its bytes are not those that were written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        about, digest, _ = _outline(data)
        parts = {name: array.tobytes() for name, array in load(data).items()}
        known = json.loads(about)
    except (SafetensorError, *_NONSENSE) as error:
        raise _unreadable(file, error) from error
    if _digest(about, parts) != digest or not isinstance(known, dict):
        raise _changed(file)
    return Bundle(known, parts)


def _outline(data: bytes) -> tuple[str, str, dict[str, tuple[int, int]]]:
    """Description, digest, and part -> first and last byte in the file, from the start of a file; else `_NONSENSE`."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(HEADER_BYTES, len(data) - 8):
        raise ValueError("a header that does not fit the file")
    header = json.loads(data[8 : 8 + length])
    outer = json.loads(header.pop("__metadata__")[KEY])
    spans = {
        str(name): tuple(8 + length + int(place) for place in part["data_offsets"]) for name, part in header.items()
    }
    return str(outer["about"]), str(outer["sha256"]), {name: (first, last) for name, (first, last) in spans.items()}


def _unreadable(file: object, error: Exception) -> UserError:
    return UserError(file=file, problem=f"not readable ({type(error).__name__})", expected="a file written by microexp")


def _changed(file: object) -> UserError:
    return UserError(file=file, problem="bytes that have changed since they were written", hint="delete it")


def write(path: Path, bundle: Bundle) -> None:
    """Write a bundle."""
    storage.write_bytes(path, pack(bundle))


def read(path: Path) -> Bundle:
    """Read a bundle.

    Raises:
        UserError: as `unpack`, or when there is no such file, or one that is far too large.
    """
    check_size(path, MODEL_BYTES, "a file written by microexp")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = min(int.from_bytes(start, "little"), HEADER_BYTES)
            if _OURS not in (head := start + file.read(length)):  # of somebody else: the rest is not read
                return unpack(head, path)
            _check_by_blocks(file, head, path)
            file.seek(len(head))
            return unpack(head + file.read(), path)
    except OSError as error:
        raise UserError(file=path, problem=error.strerror or error, expected="a file written by microexp") from error


def _check_by_blocks(file: BinaryIO, head: bytes, path: Path) -> None:
    """Compare the digest without holding the file: one with foreign bytes is refused at little cost."""
    try:
        about, expected, spans = _outline(head)
    except _NONSENSE as error:
        raise _unreadable(path, error) from error
    size = path.stat().st_size
    if any(not len(head) <= first <= last <= size for first, last in spans.values()):
        raise _changed(path)
    digest = hashlib.sha256(about.encode())
    for name, (first, last) in sorted(spans.items()):
        digest.update(f"\n{name} {last - first}\n".encode())
        file.seek(first)
        while block := file.read(min(BLOCK_BYTES, last - file.tell())):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise _changed(path)


def _digest(about: str, parts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(parts):
        digest.update(f"\n{name} {len(parts[name])}\n".encode())
        digest.update(parts[name])
    return digest.hexdigest()


def _sorted_header(data: bytes) -> bytes:
    """The same file with its JSON header in a fixed order: safetensors writes metadata in hash order."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


# Files that hold how far a job is: with a hash over everything in them, checked before anything of it is used.
#
# A checkpoint saves time and nothing else. One that is not as it was written, or belongs to other inputs or options,
# means that the work starts again; the results are the same.

SUFFIX = ".checkpoint"
"""End of a checkpoint's name: `model.safetensors.checkpoint` beside the result that it is for."""
_HEAD = b"microexp checkpoint 1\n"
_HASH_BYTES = 32
_LENGTH_BYTES = 8


def save(path: str | Path, key: str, data: bytes) -> None:
    """Write `data` under `key`, which is a hash of everything that it depends on.

    Raises:
        UserError: when the folder cannot be written or the disk is full.
    """
    name = key.encode()
    body = len(name).to_bytes(_LENGTH_BYTES, "big") + name + data
    storage.write_bytes(path, _HEAD + hashlib.sha256(body).digest() + body)


def load(path: str | Path, key: str) -> bytes | None:
    """What `save` wrote under `key`; None where there is nothing, or it belongs to another key.

    None too, with a warning, where the file is not as it was written: the work starts again.

    Raises:
        Unreadable: when the system does not let us read it.
    """
    try:
        name, data = _parts(Path(path))
    except FileNotFoundError:
        return None
    except storage.Damaged as error:
        log(f"microexp: warning: {error.file}: {error.what}: starting again")
        return None
    return data if name == key.encode() else None


def check(path: str | Path) -> None:
    """Check a checkpoint's hash.

    Raises:
        Damaged: when it is not as it was written.
        Unreadable: when the system does not let us read it.
    """
    _parts(Path(path))


def _parts(path: Path) -> tuple[bytes, bytes]:
    """Key and data of a file with a hash that fits."""
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage.unreadable(path, error) from error
    start = len(_HEAD) + _HASH_BYTES
    body = whole[start:]
    if whole[: len(_HEAD)] != _HEAD or hashlib.sha256(body).digest() != whole[len(_HEAD) : start]:
        raise storage.damaged(path, "a damaged checkpoint (SHA-256)")
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "big")
    return body[_LENGTH_BYTES:end], body[end:]
