"""Options of the onset-apex inputs."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class ApexdiffParams(Params):
    """Options of the stage `apexdiff`."""

    size: int = Field(56, ge=8, description="Side of the stored maps, px.")
