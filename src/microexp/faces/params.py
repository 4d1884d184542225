"""Options of face detection, alignment and cropping."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.stage import Params


class FacesParams(Params):
    """Options of the stage `faces`."""

    backend: Literal["dlib", "face_alignment", "given"] = Field("dlib", description="Detector and landmarks.")


class CropsParams(Params):
    """Options of the stage `crops`."""

    size: int = Field(224, ge=16, description="Side of the square crop, px.")
