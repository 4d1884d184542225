"""Tests see what commands print: notes on standard error."""

from __future__ import annotations

import pytest

from microexp.run.log import to_stderr


@pytest.fixture(autouse=True)
def _as_commands_do() -> None:
    to_stderr()
