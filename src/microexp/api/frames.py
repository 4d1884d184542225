"""pandas, imported when a frame is asked for: no stage of the pipeline needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from microexp.errors import UserError


def pandas() -> Any:
    """The module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pandas as module
    except ImportError as error:
        raise UserError(problem="pandas is not installed", hint="pip install 'microexp[notebooks]'") from error
    return module


def need_columns(table: Any, names: Iterable[str], what: str) -> None:
    """Check that a frame has these columns.

    Raises:
        UserError: naming those that are missing.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UserError(where=what, problem=f"no column {', '.join(missing)}", expected=f"columns {', '.join(names)}")
