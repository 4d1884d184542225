"""Progress and notes: through `logging` (logger `microexp`) for libraries, on standard error for commands.

A command calls `to_stderr` once; then notes are lines there, and progress is a bar on a terminal. Whoever imports the
package gets nothing printed, and may give the logger a handler.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
LOGGER = logging.getLogger("microexp")


class _StandardError(logging.Handler):
    """Lines on whatever standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message alone: a rule's log file holds nothing else."""
        print(record.getMessage(), file=sys.stderr, flush=True)


def to_stderr() -> None:
    """Show notes and progress on standard error, as commands do."""
    if not _shown():
        LOGGER.addHandler(_StandardError())
        LOGGER.setLevel(logging.INFO)


def _shown() -> bool:
    return any(isinstance(handler, _StandardError) for handler in LOGGER.handlers)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from `items` while showing how far it is; `total` is asked of `len(items)` when not given."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _shown() and sys.stderr.isatty():
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
    """One note, level INFO; a line of the rule's log file under Snakemake."""
    LOGGER.info("%s", line)
