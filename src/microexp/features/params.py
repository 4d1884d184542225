"""Options of the I3D features."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class WeightsParams(Params):
    """Options of the stage `weights`: none, the file and its checksum are part of the code."""


class I3dParams(Params):
    """Options of the stage `i3d`."""

    clip_frames: int = Field(8, ge=1, description="Frames of a clip.")
    step_frames: int = Field(2, ge=1, description="Frames between the starts of clips.")
