"""Options of the report."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class ReportParams(Params):
    """Options of the stage `report`."""

    title: str = Field("microexp", description="Title of the report.")
