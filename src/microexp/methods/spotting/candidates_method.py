"""Method `candidates`: motion that stands out from a video's own noise, as `candidates` finds it. It learns nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from microexp.methods.context import Context
from microexp.methods.spotting.base import Found, SpottingMethod, SpottingVideo, Truth
from microexp.methods.spotting.candidates import FALSE_ALARMS, candidates
from microexp.metrics.spotting import KINDS
from microexp.run.stage import Params

STREAM = "motion"
MICRO_S = 0.5
"""Longest micro-expression (Yan et al. 2013): what is longer is proposed as `macro`."""


class CandidatesParams(Params):
    """Options of `candidates`."""

    per_minute: float = Field(
        FALSE_ALARMS[-1][0],
        ge=FALSE_ALARMS[0][0],
        le=FALSE_ALARMS[-1][0],
        description="Unflagged false alarms a minute that are accepted; the protocol may choose a higher threshold.",
    )


class CandidatesMethod(SpottingMethod[CandidatesParams, CandidatesParams]):
    """Bursts of motion against the median and median deviation of the same video."""

    Options = CandidatesParams
    seeded = False
    learns = False

    def streams(self, options: CandidatesParams) -> tuple[str, ...]:
        """The motion of places on the face."""
        return (STREAM,)

    def fit(
        self, videos: Sequence[SpottingVideo], truth: Truth, options: CandidatesParams, *, context: Context
    ) -> CandidatesParams:
        """Nothing is learnt: the options."""
        return options

    def propose(self, model: CandidatesParams, video: SpottingVideo) -> Found:
        """What stands out, by its length as `micro` or `macro`, with robust deviations as scores."""
        found = candidates(video.streams[STREAM], per_minute=model.per_minute)
        kinds = np.array(["micro" if (c.offset - c.onset + 1) / video.fps <= MICRO_S else "macro" for c in found], str)
        spans = np.array([(c.onset, c.offset) for c in found], np.float64).reshape(-1, 2)
        scores = np.array([c.score for c in found], np.float64)
        return {kind: (spans[kinds == kind], scores[kinds == kind]) for kind in KINDS}

    def to_bytes(self, model: CandidatesParams) -> bytes:
        """JSON."""
        return model.model_dump_json().encode()

    def from_bytes(self, data: bytes, options: CandidatesParams) -> CandidatesParams:
        """The options that `to_bytes` wrote."""
        return CandidatesParams.model_validate_json(data)
