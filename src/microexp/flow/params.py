"""Options of optical flow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.stage import Params


class FlowParams(Params):
    """Options of TV-L1 flow, used by the stages `flow` and `apexdiff`."""

    backend: Literal["auto", "numba", "torch", "opencv", "opencv_cuda"] = Field("auto", description="Implementation.")
    preset: Literal["opencv", "classic", "micro"] = Field("micro", description="Named set of TV-L1 parameters.")
