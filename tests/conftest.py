"""Tests see what commands print: notes on standard error."""

from __future__ import annotations

from collections import Counter

import pytest

from microexp.run.log import to_stderr


@pytest.fixture(autouse=True)
def _as_commands_do() -> None:
    to_stderr()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many long tests come first: processes that share the files then end at nearly the same time."""
    long = Counter(item.path for item in items if item.get_closest_marker("long"))
    items.sort(key=lambda item: -long[item.path])
