"""Progress on standard error: a bar on a terminal, a line every tenth in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from `items` while showing how far it is; `total` is asked of `len(items)` when not given."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, description, total=total, console=Console(stderr=True), transient=True)
        return
    start, shown = time.monotonic(), 0
    for done, item in enumerate(items, 1):
        yield item
        if total and done * 10 // total > shown:
            shown = done * 10 // total
            log(f"{description}: {done}/{total} ({time.monotonic() - start:.0f} s)")


class Pace:
    """Says a line at most every so many seconds, the first one after that time."""

    def __init__(self, every_s: float = 30.0) -> None:
        self.every_s = every_s
        self._started = self._last = time.monotonic()

    def say(self, line: str) -> None:
        """Log `line` and the time since the start, unless the last one is too recent."""
        now = time.monotonic()
        if now - self._last >= self.every_s:
            self._last = now
            log(f"{line} ({now - self._started:.0f} s)")


def log(line: str) -> None:
    """One line on standard error (the rule's log file under Snakemake)."""
    print(line, file=sys.stderr, flush=True)
