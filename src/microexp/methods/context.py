"""What a method is given beside its data: seed, device, log, and a place where an unfinished training is kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microexp.records.training import Value
from microexp.run import bundle, provenance
from microexp.run.log import Pace


def _nowhere(state: Callable[[], bytes]) -> None:
    """Keep nothing."""


@dataclass(frozen=True)
class Context:
    """One training, as the method sees it.

    Attributes:
        seed: of everything that is random in this fit.
        device: torch's name of the device, `cpu` or `cuda:0`.
        label: what is trained, for messages: `aemnet demo-s01, seed 0, inner1`.
        rows: the training log so far; `log` adds to it.
        keep: called with a function that gives the state; the framework decides when it is worth a file.
        state: what `keep` got before an interruption, or None.
        pace: how often `progress` says something.
    """

    seed: int
    device: str = "cpu"
    label: str = ""
    rows: list[dict[str, Value]] = field(default_factory=list)
    keep: Callable[[Callable[[], bytes]], None] = _nowhere
    state: bytes | None = None
    pace: Pace = field(default_factory=Pace, repr=False, compare=False)

    def progress(self, done: int, total: int) -> None:
        """Say in the job's log how far the training is, at most every half a minute; call it as often as you like."""
        self.pace.say(f"{self.label}: {done}/{total}")

    def log(self, **values: Value) -> None:
        """Add a row to the training log, such as `log(epoch=1, loss=.5)`; numbers of numpy and torch are fine."""
        self.rows.append({name: value.item() if hasattr(value, "item") else value for name, value in values.items()})


# Where a fold stands: models of the fits that are finished, the training log, and the state of the unfinished one.

EVERY_S = 20.0
STATE = "state"
MODEL = "model/"


def fingerprint(*parts: object) -> str:
    """Hash of everything that a checkpoint depends on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def digest(array: np.ndarray) -> str:
    """Hash of an array: its values, their type and their shape."""
    about = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(about + np.ascontiguousarray(array).tobytes()).hexdigest()


class Checkpoint:
    """The checkpoint of one fold, beside the file that the fold will write.

    A checkpoint of other inputs or options, or one that is damaged, is not used: the training starts again.

    Attributes:
        models: fit -> the bytes of its model, of fits that are finished.
        rows: fit -> its rows of the training log so far.
        state: what the unfinished fit (or all of them, where a method trains them together) kept, or None.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self.models: dict[str, bytes] = {}
        self.rows: dict[str, list[dict[str, Value]]] = {}
        self.state: bytes | None = None
        self._saved = time.monotonic()
        self._load()

    def _load(self) -> None:
        data = bundle.load(self.path, self.key)
        if data is None:
            return
        found = bundle.unpack(data, self.path)
        self.rows = {name: [dict(row) for row in rows] for name, rows in found.about["rows"].items()}
        self.models = {n.removeprefix(MODEL): data for n, data in found.parts.items() if n.startswith(MODEL)}
        self.state = found.parts.get(STATE)

    def log_of(self, fit: str) -> list[dict[str, Value]]:
        """The rows of a fit; rows that are added to the list are kept."""
        return self.rows.setdefault(fit, [])

    def keep(self, state: Callable[[], bytes]) -> None:
        """Write where an unfinished fit stands, unless that was done a moment ago."""
        if time.monotonic() - self._saved >= EVERY_S:
            self.state = state()
            self._save()

    def finish(self, models: Mapping[str, bytes]) -> None:
        """Remember finished fits."""
        self.models.update(models)
        self.state = None
        if time.monotonic() - self._saved >= EVERY_S:
            self._save()

    def remove(self) -> None:
        """Delete the file: the fold is finished."""
        self.path.unlink(missing_ok=True)
        provenance.remove_provenance(self.path)

    def _save(self) -> None:
        parts = {MODEL + name: data for name, data in self.models.items()}
        if self.state is not None:
            parts[STATE] = self.state
        # pairs, since a bundle sorts the keys of a mapping and the order of a row is that of the log's columns
        rows = {name: [list(row.items()) for row in own] for name, own in self.rows.items()}
        bundle.save(self.path, self.key, bundle.pack(bundle.Bundle({"rows": rows}, parts)))
        self._saved = time.monotonic()
