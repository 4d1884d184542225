"""Options of the evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.stage import Params


class TablesParams(Params):
    """Options of the stage `tables`."""

    matching: Literal["megc", "one_to_one"] = Field("one_to_one", description="How detections meet ground truths.")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap samples over subjects for the confidence interval.")
    seed: int | None = Field(None, description="Random seed; none takes the run's seed.")
