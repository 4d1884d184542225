"""Options of the data sets and of the rendered demo."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.stage import Params


class DatasetParams(Params):
    """One data set: which adapter reads it and where it lies."""

    adapter: str = Field(description="Adapter that reads the release, such as casme2; `demo` renders its own.")
    root: str | None = Field(None, description="Folder of the release on disk; not needed for the demo.")
    fps: float | None = Field(
        None, gt=0, description="Resample long videos to this rate (frames/s); none keeps all frames."
    )
    strict: bool = Field(False, description="Make a difference to the published counts an error.")
    offset_zero: Literal["apex", "apex+20", "2*apex-onset"] = Field(
        "apex", description="What an offset of 0 in a sheet means."
    )


class DemoParams(Params):
    """The rendered demo data set."""

    subjects: int = Field(10, ge=2, description="Identities to render.")
    videos: int = Field(1, ge=1, description="Long videos per subject.")
    seconds: float = Field(40.0, gt=2, description="Length of a video, s.")
    fps: int = Field(30, ge=10, description="Frame rate, frames/s.")
    width: int = Field(320, ge=64, description="Frame width, px.")
    height: int = Field(240, ge=64, description="Frame height, px.")
    seed: int | None = Field(None, description="Random seed; none takes the run's seed.")
