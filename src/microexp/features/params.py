"""Options of the feature streams."""

from __future__ import annotations

from pydantic import Field

from microexp.run.stage import Params

SHA256 = r"^[0-9a-fA-F]{64}$"
WEIGHTS = "weights/i3d_rgb_kinetics400.safetensors"
"""What the stage `weights` makes."""


class WeightsParams(Params):
    """Options of the stage `weights`: none, the file and its checksum are part of the code."""


class I3dClipParams(Params):
    """How I3D sees a video, the same for both streams."""

    clip_frames: int = Field(8, ge=1, le=1024, description="Frames of a snippet.")
    step_frames: int = Field(2, ge=1, le=1024, description="Frames between the starts of snippets.")
    size_px: int = Field(
        224, ge=32, le=1024, description="Side to which crops and flow are resized for the network (224 in the papers)."
    )
    mixed_precision: bool = Field(
        False,
        description="Compute in 16 bits, which gives other numbers: float16 on GPUs; bfloat16 on CPUs, faster where "
        "they have AMX or AVX512-BF16.",
    )


class I3dRgbParams(I3dClipParams):
    """Options of the stage `i3d-rgb`."""

    rgb_weights: str = Field(
        WEIGHTS,
        min_length=1,
        description="RGB weights: what the stage `weights` makes, or a file of your own such as rgb_imagenet.pt.",
    )
    rgb_weights_sha256: str | None = Field(
        None, pattern=SHA256, description="SHA-256 of your own RGB weights; without it only the pinned ones are taken."
    )


class I3dFlowParams(I3dRgbParams):
    """Options of the stage `i3d-flow`."""

    flow_bound_px: float = Field(
        2.0,
        gt=0,
        description="Flow component, in px between frames of a 224 px crop, that becomes 1 at the network's input; "
        "what is larger is clipped. Kinetics weights were trained with 20; between two frames at 30 fps a face seldom "
        "moves more than 2 (99.9 % of the demo's flow is below 1.6), and a micro-expression moves tenths.",
    )
    flow_weights: str | None = Field(
        None,
        min_length=1,
        description="Flow weights such as flow_imagenet.pt (pytorch-i3d names); without them the flow stream starts "
        "from the RGB weights, averaged over the colours.",
    )
    flow_weights_sha256: str | None = Field(
        None, pattern=SHA256, description="SHA-256 that the flow weights must have."
    )


class I3dParams(I3dFlowParams):
    """All options of I3D, as the configuration has them."""


class MotionParams(Params):
    """Options of the stage `motion`: how the places of a face move. A model holds for the layout it was trained on."""

    rate_fps: float = Field(30.0, gt=0, description="Rate to which every video is brought, frames/s.")
    step_frames: int = Field(2, ge=1, description="Frames from one feature to the next.")
    span_frames: list[int] = Field(
        [6, 12, 24], description="Lengths, frames, over which displacements are measured beside single steps."
    )
    position_frames: int = Field(
        90, ge=0, description="Length, frames, of the running median that a place's position is measured from; 0: none."
    )


class GivenParams(Params):
    """Options of the stage `given`: features or per-frame series that another program computed."""

    fps: float | None = Field(
        None, gt=0, description="Rows per second of the series; none takes the video's own rate (one row a frame)."
    )
    first_frame: int | None = Field(
        None, description="The release's number of the frame of the first row; none takes the video's first frame."
    )
    columns: list[str] | None = Field(
        None, min_length=1, description="Columns of the series, such as AU04_r; none takes all that hold numbers."
    )


class GivenSource(GivenParams):
    """Where the series of the data sets lie, as the configuration has it."""

    root: str | None = Field(
        None, description="Folder of the series: {dataset}/{subject}/{video}.npz or .csv, or {subject}/{video}."
    )
