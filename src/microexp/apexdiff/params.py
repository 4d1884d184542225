"""Options of the onset-apex inputs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.flow.params import Preset, Tvl1Params
from microexp.run.stage import Params


class MapsParams(Params):
    """What onset-apex maps are, whatever computes their flow."""

    size: int = Field(56, ge=8, description="Side of the stored maps, px; at most the side of the crops.")
    registration: Literal["rigid", "alignment"] = Field(
        "rigid",
        description="rigid: the motion of the whole head from onset to apex (shift, turn, scale, fitted robustly to "
        "the flow) is taken out of flow, difference and strain. alignment: both frames as the crops show them.",
    )


class ApexdiffOptions(MapsParams):
    """Options of the section `apexdiff`; the backend of its flow is that of the section `flow`."""

    preset: Preset = Field("micro", description="Named set of TV-L1 parameters, for the flow from onset to apex.")


class ApexdiffParams(MapsParams):
    """What the stage `apexdiff` reads."""

    flow: Tvl1Params = Tvl1Params()
