"""What a video holds, as a short text: the same wherever it lies and whenever it was copied, another when it changes.

A run knows by it which subjects it has to compute again. Dates do not enter: `cp -r` and a restored backup change them
all, and a file that is replaced may keep its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from microexp.reading.trees import IMAGE_SUFFIXES

FULL_BYTES = 64 << 20
"""A video up to this size (a file, or all frames of a folder) is read whole."""
SAMPLE_BYTES = 16 << 20
"""Of a larger one so much is read, in blocks all over it, besides every size."""
BLOCK_BYTES = 64 << 10
LEAST_BYTES = 4096
"""Of each frame of a large folder at least so much is read: half of it at the end, where PNG has its checksums."""
JUST_NOW_S = 2.0
"""What changed so shortly before it was looked at may change again within the same tick of the file system's clock."""


def fingerprint(path: str | Path) -> str:
    """32 hexadecimal digits: hash of a video file's content, or of names and content of the frames in a folder.

    Raises:
        OSError: when the system does not let us read it.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        frames = sorted(_frames(path), key=lambda item: item[0])
        total = sum(size for _, size, _ in frames)
        share = None if total <= FULL_BYTES else max(LEAST_BYTES, SAMPLE_BYTES // len(frames))
        for name, size, _ in frames:
            digest.update(f"\n{name}\t{size}\n".encode(errors="surrogateescape"))
            if _leads_nowhere(path / name):
                digest.update(os.fsencode((path / name).readlink()))
            else:
                _read_into(digest, path / name, size, share)
    else:
        size = path.stat().st_size
        digest.update(f"{size}\n".encode())
        _read_into(digest, path, size, None if size <= FULL_BYTES else SAMPLE_BYTES)
    return digest.hexdigest()[:32]


def _frames(folder: Path) -> Iterator[tuple[str, int, os.stat_result]]:
    """Name, size and state of every frame of a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != "." and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                state = entry.stat(follow_symlinks=not _leads_nowhere(folder / entry.name))
                yield entry.name, state.st_size, state


def _leads_nowhere(path: Path) -> bool:
    """Whether a frame is a link to what is not there: it costs itself, not its video."""
    try:
        path.stat()
    except FileNotFoundError:
        return path.is_symlink()
    return False


def _read_into(digest: Any, path: Path, size: int, share: int | None) -> None:
    """Hash a file, or blocks of together `share` bytes: the first and the last, and others evenly between."""
    with open(path, "rb", buffering=0) as file:
        if share is None or size <= share:
            while data := file.read(1 << 20):
                digest.update(data)
            return
        block = min(BLOCK_BYTES, share // 2)
        count = max(2, share // block)
        for number in range(count):
            file.seek((size - block) * number // (count - 1))
            digest.update(file.read(block))


def signature(path: str | Path) -> str:
    """What the file system says of a video without reading it: another whenever its content may have changed.

    `ctime` is in it, which no program sets: also a file that was overwritten in place and got its old date back shows.

    Raises:
        OSError: when the system does not let us look.
    """
    states = _states(Path(path))
    return hashlib.sha256(repr([(name, *about) for name, about in states]).encode()).hexdigest()[:32]


def _states(path: Path) -> list[tuple[str, tuple[int, int, int, int]]]:
    if path.is_dir():
        return sorted((name, _state(state)) for name, _, state in _frames(path))
    return [("", _state(path.stat()))]


def _state(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


class Fingerprints:
    """Fingerprints that are known from former plans of a run, in a file that may be deleted at any time.

    A fingerprint is taken from there only while the file system says the same of the video as then.
    """

    def __init__(self, file: str | Path | None = None) -> None:
        self.file = Path(file) if file is not None else None
        self._known: dict[str, Any] = {}
        self._changed = False
        with suppress(OSError, ValueError):
            known = json.loads(self.file.read_text(encoding="utf-8")) if self.file else {}
            self._known = known if isinstance(known, dict) else {}

    def of(self, path: Path) -> str:
        """The fingerprint of a video or sheet; "" where it cannot be read, which the stage `index` will say."""
        try:
            return str(self._recall(str(path.absolute()), [path], lambda: fingerprint(path)))
        except OSError:
            return ""

    def derived(self, key: str, paths: Sequence[Path], make: Callable[[], dict[str, str]]) -> dict[str, str]:
        """What `make` makes of the files `paths`; `key` says what else it depends on.

        Raises:
            UserError: as `make` does.
        """
        try:
            found: dict[str, str] = self._recall(key, paths, make)
            return found
        except OSError:
            return make()

    def _recall(self, key: str, paths: Sequence[Path], make: Callable[[], Any]) -> Any:
        seen = [signature(path) for path in paths]
        known = self._known.get(key)
        if isinstance(known, list) and len(known) == 2 and known[0] == seen:
            return known[1]
        newest = max((about[2] for path in paths for _, about in _states(path)), default=0)
        settled = time.time_ns() - newest > JUST_NOW_S * 1e9
        found = make()
        if settled and [signature(path) for path in paths] == seen:
            self._known[key] = [seen, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Write what is known now; where that cannot be, the next plan reads the videos again."""
        if self.file is None or not self._changed:
            return
        temporary = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._known, sort_keys=True), encoding="utf-8")
            temporary.replace(self.file)
        self._changed = False


def combined(parts: Mapping[str, object]) -> str:
    """One hash of named parts."""
    text = json.dumps({str(k): str(v) for k, v in parts.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
