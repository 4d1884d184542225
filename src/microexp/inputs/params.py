"""Options of the onset-apex inputs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.flow.params import FlowParams
from microexp.stage import Params


class ApexdiffParams(Params):
    """Options of the stage `apexdiff`."""

    size: int = Field(56, ge=8, description="Side of the stored maps, px; at most the side of the crops.")
    registration: Literal["alignment", "rigid"] = Field(
        "alignment",
        description="alignment: onset and apex as the crops show them. rigid: the motion of the whole head between "
        "the two, fitted robustly to the flow, is taken out of flow, difference and strain.",
    )
    flow: FlowParams = FlowParams()
