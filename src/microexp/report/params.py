"""Options of the tables, the report, and the pages of one's own videos."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microexp.apexdiff.params import ApexdiffParams
from microexp.datasets.classes import TaskParams
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


# Options of the evaluation.


class TablesParams(Params):
    """Options of the tables that a user sets."""

    matching: Literal["megc", "one_to_one"] = Field("one_to_one", description="How detections meet ground truths.")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap samples over subjects for the confidence interval.")
    permutations: int = Field(
        200,
        ge=0,
        description="Random displacements of the detections (permutations of the labels) for the chance level.",
    )
    seed: int | None = Field(None, description="Random seed; none takes the run's seed.")


class TablesStageParams(TablesParams):
    """What the stage `tables` reads: the options above, and what it must know of the run."""

    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")
    releases: list[str] = Field([], description="Adapters of the data sets; published rows are shown for those known.")
    tested: list[str] = Field(
        [], description="Data sets that are tested, each held out as a whole; empty: all subjects."
    )
    methods: list[str] = Field([], description="Rows of the table, in this order.")
    task: TaskParams | None = Field(
        None,
        description="Classes and expressions of a recognition experiment, of which every clip must be predicted; of a "
        "spotting experiment, those that what was spotted is recognised as.",
    )


# Options of the stages that write tables and pages of one's own videos.


class VideoTablesParams(Params):
    """What the stages `video-tables` and `video-page` read."""

    apexdiff: ApexdiffParams = Field(ApexdiffParams(), description="How apexes and the maps of events are made.")
