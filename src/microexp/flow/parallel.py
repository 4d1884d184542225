"""Work shared among threads, item by item, for code that releases the interpreter's lock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def for_each(prepare: Callable[[], Callable[[int], None]], count: int, threads: int) -> None:
    """Call `prepare()` once per thread, and what it returns for each of `count` items: whoever is free takes the next.

    Each item is one thread's work alone, so that results do not depend on the number of threads.
    """
    items = itertools.count()

    def run() -> None:
        """What one thread does."""
        step = prepare()
        while (item := next(items)) < count:
            step(item)

    threads = max(1, min(threads, count))
    if threads == 1:
        run()
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run) for _ in range(threads)]:
            done.result()
