"""Options of the report."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class PageParams(Params):
    """Options that the report and its pages of subjects share."""

    faces: bool = Field(
        True, description="Embed pictures of faces. Most data sets forbid to publish them: turn this off first."
    )
    expressions: int = Field(12, ge=0, description="Expressions shown as pictures on a subject's page.")


class ReportParams(PageParams):
    """Options of the stages `report` and `report-subject`."""

    title: str = Field("microexp", description="Title of the report.")
    gallery: int = Field(12, ge=0, description="Subjects shown as pictures on the first page.")
    timelines: int = Field(10, ge=0, description="Videos whose timeline is shown on the first page.")
