"""Options of the onset-apex inputs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.flow.params import Tvl1Params
from microexp.run.stage import Params


class ApexdiffParams(Params):
    """Options of the stage `apexdiff`."""

    size: int = Field(56, ge=8, description="Side of the stored maps, px; at most the side of the crops.")
    registration: Literal["rigid", "alignment"] = Field(
        "rigid",
        description="rigid: the motion of the whole head from onset to apex (shift, turn, scale, fitted robustly to "
        "the flow) is taken out of flow, difference and strain. alignment: both frames as the crops show them.",
    )
    flow: Tvl1Params = Tvl1Params()
