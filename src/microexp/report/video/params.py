"""Options of the stages that write tables and pages of one's own videos."""

from __future__ import annotations

from pydantic import Field

from microexp.apexdiff.params import ApexdiffParams
from microexp.run.stage import Params


class VideoTablesParams(Params):
    """What the stages `video-tables` and `video-page` read."""

    apexdiff: ApexdiffParams = Field(ApexdiffParams(), description="How apexes and the maps of events are made.")
