"""Options of the report."""

from __future__ import annotations

from pydantic import Field

from microexp.run.stage import Params


class SharedParams(Params):
    """Options that the first page and the pages of the subjects share."""

    title: str = Field("microexp", description="Title of the report.")
    faces: bool = Field(
        True, description="Embed pictures of faces. Most data sets forbid to publish them: turn this off first."
    )


class PageParams(SharedParams):
    """Options of the stage `report-subject`."""

    expressions: int = Field(12, ge=0, description="Expressions shown as pictures for each video of a subject's page.")
    detections: int = Field(12, ge=0, description="Detections shown as pictures, best first, per video and method.")


class FrontParams(SharedParams):
    """Options of the stage `report`."""

    gallery: int = Field(12, ge=0, description="Subjects shown as pictures on the first page.")
    timelines: int = Field(10, ge=0, description="Videos with a timeline on the first page.")


class ReportParams(PageParams, FrontParams):
    """All options of the report, as the configuration has them."""
