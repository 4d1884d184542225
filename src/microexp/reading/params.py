"""Options of the data sets and of the rendered demo."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from microexp.run.stage import Params

Side = Annotated[int, Field(ge=64, le=4096, multiple_of=2)]


class IndexParams(Params):
    """Options of the stage `index`: which adapter reads a release, where it lies, and how its quirks are read."""

    adapter: str | None = Field(
        None, description="Adapter that reads the release, such as casme2; none takes the data set's own name."
    )
    root: str | None = Field(None, description="Folder of the release on disk; not needed for the demo.")
    release: str | None = Field(
        None,
        coerce_numbers_to_str=True,
        description="Which release or part where there are several: V2, 20190701, HS, VIS, NIR, A, C.",
    )
    sheet: str | None = Field(None, description="Annotation sheet, relative to root; none finds it by its usual name.")
    videos: str | None = Field(None, description="Folder of the videos, relative to root; none finds it.")
    frames: Literal["auto", "raw", "cropped"] = Field(
        "auto", description="Which copy of the frames to take where several lie under root; auto prefers raw."
    )
    source_fps: float | None = Field(
        None,
        gt=0,
        description="Frame rate (frames/s) of videos that do not say theirs, such as folders of frames; it also wins "
        "over a published one.",
    )
    source_fps_wins: bool = Field(
        False,
        description="source_fps also overrides what files say: some high-speed cameras write 25 into files of 200.",
    )
    first_number: int = Field(1, ge=0, description="Number that the sheet gives to the first frame of a video file.")
    offset_zero: Literal["apex", "apex+20", "2*apex-onset"] = Field(
        "apex", description="What an offset of 0 in a sheet means."
    )
    apex_missing: Literal["middle", "flow"] = Field(
        "middle",
        description="Where an expression without a usable apex has it: in the middle, or where the flow from the "
        "onset is largest (decodes the expression).",
    )
    strict: bool = Field(False, description="Make a difference to the published counts an error.")


class IndexStageParams(IndexParams):
    """Options of the stages `index` and `index-subject`."""

    content: str = Field(
        "", description="Hash of the videos and rows that are read; empty for what the run itself renders."
    )


class DatasetParams(IndexParams):
    """One data set of the configuration."""

    fps: float | None = Field(
        None, gt=0, description="Resample long videos to this rate (frames/s); none keeps all frames."
    )


def index_options(name: str, dataset: DatasetParams) -> dict[str, Any]:
    """What the stage `index` reads of data set `name`, as plain JSON values with the adapter filled in.

    Without the root: where the data lie is no part of a result, and moving them makes nothing run again.
    """
    options = dataset.model_dump(mode="json", include=set(IndexParams.model_fields) - {"root"})
    return options | {"adapter": dataset.adapter or name}


class DemoScriptParams(Params):
    """What decides what the people of the rendered demo do: options that its sheet and its videos share."""

    videos: int = Field(1, ge=1, le=10_000, description="Long videos per subject.")
    seconds: float = Field(24.0, gt=2, le=7200, description="Length of a video, s.")
    micro: int = Field(7, ge=0, le=10_000, description="Micro-expressions per video.")
    macro: int = Field(3, ge=0, le=10_000, description="Macro-expressions per video.")
    still: float = Field(0.0, ge=0, le=1, description="Share of videos in which no expression is shown at all.")
    fps: int = Field(30, ge=10, le=1000, description="Frame rate, frames/s.")
    rates: tuple[Annotated[int, Field(ge=10, le=1000)], ...] = Field(
        (), description="Frame rates, of which each video draws one; none: all have `fps`."
    )
    seed: int | None = Field(None, ge=0, description="Random seed; none takes the run's seed.")


class UntidyParams(Params):
    """How untidy the rendered recordings are; the defaults are those of the tidy demo. A seed gives the same bytes."""

    speech: float = Field(0.0, ge=0, le=1, description="Mean share of the time in which people talk.")
    gaze: float = Field(1.0, ge=0, le=10, description="Factor on how far people glance.")
    turns: float = Field(0.0, ge=0, le=60, description="Head turns and nods a minute.")
    seat_changes: float = Field(0.0, ge=0, le=60, description="Changes of the seat a minute.")
    hands: float = Field(0.0, ge=0, le=60, description="Times a minute that a hand comes before the face.")
    glasses: float = Field(0.0, ge=0, le=1, description="Share of people with glasses.")
    flicker: float = Field(0.0, ge=0, le=0.5, description="Largest flicker of the light, as a share of it.")
    cameras: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much cameras differ in distance, place, brightness and noise: 0 not at all.",
    )
    quantisers: tuple[Annotated[int, Field(ge=0, le=51)], ...] = Field(
        (), description="x264's constant quantisers, of which each video draws one (14 is fine, 32 coarse); none: 14."
    )


class DemoVideoParams(DemoScriptParams):
    """Options of the stage `demo`: a video is the same however many people there are."""

    width: int = Field(320, ge=64, le=4096, multiple_of=2, description="Frame width, px.")
    height: int = Field(240, ge=64, le=4096, multiple_of=2, description="Frame height, px.")
    noise: float = Field(1.5, ge=0, le=20, description="Noise of the camera's sensor (sd), grey levels.")
    sizes: tuple[tuple[Side, Side], ...] = Field(
        (), description="Widths and heights, px, of which each video draws a pair; none: all have `width` and `height`."
    )
    untidy: UntidyParams = UntidyParams()


class DemoSheetParams(DemoScriptParams):
    """Options of the stage `demo-sheet`: who does what, however it is filmed."""

    subjects: int = Field(10, ge=2, le=10_000, description="Identities to render.")


class DemoParams(DemoVideoParams, DemoSheetParams):
    """All options of the rendered demo data set, as the configuration has them."""
