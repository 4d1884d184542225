"""Options of face detection, alignment and cropping."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from microexp.run.stage import Params

PUBLISHED = {"eye_distance": 0.49, "eye_height": 0.25}
"""The crop of the field's cropped images and flow maps, in shares of its side."""
FRAMES_A_PLACE, FEWEST_PLACES = 20, 3
"""A short clip is looked at in one place for so many frames first, in three at least."""


class FacesParams(Params):
    """Options of the stage `faces`."""

    backend: Literal["dlib", "face_alignment", "given"] = Field(
        "dlib",
        description="Where landmarks come from: dlib's detector and 68 points; the optional package face_alignment "
        "(meant for GPUs); or files of your own.",
    )
    landmark_frames: int = Field(
        24,
        ge=1,
        description="Places spread over a video where landmarks are taken, two neighbouring frames at each. A clip "
        "has one for every twenty frames, but three at least, as long as all show the face in one place.",
    )
    choose: Literal["largest", "left", "right"] | Annotated[int, Field(ge=1, le=50)] = Field(
        "largest",
        description="Which face is taken where several people are in the picture: the largest (over time), the one on "
        "the left or on the right, or a number counted from the left.",
    )
    max_missed: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="A video is excluded when a larger share of its frames does not show the face in its place; the "
        "usable part of any other is used.",
    )
    alignment: Literal["fixed", "slow"] = Field(
        "fixed",
        description="fixed: one similarity transform for all frames of a video. slow: for heads that sway, one that "
        "follows the head at a pace far below that of an expression.",
    )
    slow_step_s: float = Field(0.2, gt=0, description="Time between landmarks when the alignment is slow, s.")
    slow_window_s: float = Field(
        4.0, ge=2, description="Width at half height of the Gaussian that smooths a slow alignment, s."
    )
    crop: Literal["wide", "published"] = Field(
        "wide",
        description="Which crop is cut where the next two do not say it. wide: eye_distance .35, eye_height .36, the "
        "whole head. published: .49 and .25, from brow to chin as the field's cropped images and flow maps are; "
        "`crops: published` is short for it.",
    )
    eye_distance: float = Field(
        0.35,
        gt=0.05,
        lt=0.8,
        description="Distance between the centres of the eyes in the crop, as a share of its side.",
    )
    eye_height: float = Field(
        0.36, gt=0, lt=1, description="Distance of the eyes from the top of the crop, as a share of its side."
    )

    @model_validator(mode="before")
    @classmethod
    def _crop_says_the_rest(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("crop") == "published":
            return {**PUBLISHED, **data}
        return data

    landmarks: str | None = Field(
        None,
        description="For backend given: path of a landmark file (.csv or .npz) with {dataset}, {subject} and {video} "
        "in place of their names.",
    )
    landmarks_first_frame: int = Field(
        0, description="For backend given: the number that these files give to the first frame of a video."
    )
    weights: str | None = Field(
        None, description="For backend face_alignment: folder that holds its weight files; nothing is ever downloaded."
    )

    def places(self, n_frames: int) -> int:
        """At how many places of a video landmarks are taken first: fewer than `landmark_frames` in a short clip."""
        return min(self.landmark_frames, max(FEWEST_PLACES, n_frames // FRAMES_A_PLACE))


class CropsOptions(Params):
    """Options of the section `crops`."""

    size: int = Field(224, ge=16, le=2048, description="Side of the square crop, px.")
    grey: bool = Field(
        False,
        description="Store grey crops of colour videos, in a third of the space. Flow and motion stay the same; "
        "onset-apex maps differ by rounding to whole grey levels; i3d_rgb needs colour and is refused.",
    )


class CropsParams(CropsOptions):
    """What the stage `crops` reads."""

    fps: float | None = Field(
        None,
        gt=0,
        description="Resample videos to this rate, frames/s; null keeps all frames. It is `fps` of the data set.",
    )
