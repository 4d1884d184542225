"""What a method is given beside its data: a seed, a device, a log, and a place for an unfinished training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from microexp.records.training import Value
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
