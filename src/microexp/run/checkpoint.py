"""Files that hold how far a job is: with a hash over everything in them, checked before anything of it is used.

A checkpoint saves time and nothing else. One that is not as it was written, or belongs to other inputs or options,
means that the work starts again; the results are the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from microexp.run import storage
from microexp.run.log import log

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
