"""Candidates: motion of the face that stands out from a video's own noise, found without any training.

The displacement of each place over six frames (stream `motion`) is set against what it is most of the time in the same
video: median and median deviation, so that a noisy camera and a restless person need no other threshold. A region moves
as far as the three of its places that move most.
Frames that repeat the one before are no still moments (the stream spreads the motion over the time that really passed),
and time in which no face is seen counts for nothing. What may have caused a candidate otherwise is said in its flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from microexp.errors import UserError
from microexp.features.motion import REGIONS as MEMBERS
from microexp.features.motion import RULE_REGIONS
from microexp.methods.context import Context
from microexp.methods.spotting.base import Found, SpottingMethod, SpottingVideo, Truth
from microexp.methods.spotting.flow_magnitude import STREAM
from microexp.records.features import Features
from microexp.records.index import KINDS
from microexp.records.validity import Reason
from microexp.run.stage import Params

EYES = "eyes"
"""Lids and corners of the eyes: they move with blinks and glances, which makes them the worst source of error."""
MOUTH = "mouth"
SPAN = ".span6"
LEAST_NOISE = 0.1
"""Of a region, in deviations of its places: they cannot all be still where one of them is not."""
PLACES = 3
"""Places of a region that count: an expression of one side moves few of them."""
RIGID = ("bridge_middle.span6", "tip_middle.span6")
"""Places that no muscle moves: what is left of their motion is the head's turning out of the picture's plane."""
MOMENT_S = 0.2
JOIN_S = 0.4
"""An expression moves twice, when it comes and when it goes: bursts no further apart than this are one candidate."""
LONGEST_S = 4.0
FALSE_ALARMS = ((0.5, 4.0), (1.0, 3.5), (2.0, 3.0), (4.0, 2.5), (8.0, 2.0))
"""False alarms a minute -> least score, falling; see `threshold_for`."""
BLINK_SCORE, BLINK_SHARE = 10.0, 5.0
TURN_SCORE, TURN_SHARE = 3.0, 0.5
"""From here on, and from this share of the face's own score on, lids and head are taken for the cause."""
SPEECH_AROUND_S, SPEECH_SCORE, SPEECH_SHARE = 0.7, 1.5, 0.35
"""Speech goes on before and after: so far around an event, the mouth moves so much for so much of the time.

On 20 of the people that the shipped model was trained on, this flagged 88 % of intervals during speech, most of them
drawn at random, and 10 % of the expressions outside of it.
"""
FLAG_OF = {
    Reason.NO_FACE: "occlusion",
    Reason.OUTSIDE: "occlusion",
    Reason.DAMAGED: "occlusion",
    Reason.REPEATED: "repeated",
    Reason.CUT: "cut",
    Reason.GAP: "gap",
}
"""What is the matter with a frame, as a flag says it."""
FLAGS = tuple(sorted({"blink", "head_turn", "speech", *FLAG_OF.values()}))
"""All that `flags_of` tells."""


@dataclass(frozen=True)
class Candidate:
    """Something that moved.

    Attributes:
        onset: 0-based source frame at which the motion begins.
        peak: of the fastest motion.
        offset: last one.
        score: how far the region that moves most stands above its own noise, in robust deviations of it.
        regions: those above the threshold, what moves most first: `brows`, `cheeks`, `mouth`.
        flags: what else may have caused it, as of `flags_of`; empty for an expression of the face alone.
    """

    onset: int
    peak: int
    offset: int
    score: float
    regions: tuple[str, ...]
    flags: tuple[str, ...]


def threshold_for(per_minute: float) -> float:
    """The least score with so many unflagged false alarms a minute, log-linear between the points of FALSE_ALARMS.

    Nominal: of rendered people without any expression who sit still, blink, look around and sway. Where people talk and
    turn their heads there are more; docs/apply.md has what was measured there, and the recall.

    Raises:
        UserError: when it lies outside of what was measured.
    """
    rates, scores = np.array(FALSE_ALARMS).T
    if not rates[0] <= per_minute <= rates[-1]:
        raise UserError(
            file="candidates", where="false alarms a minute", got=per_minute, expected=f"{rates[0]:g} to {rates[-1]:g}"
        )
    return float(np.interp(np.log(per_minute), np.log(rates), scores))


def candidates(features: Features, reason: np.ndarray | None = None, per_minute: float = 1.0) -> list[Candidate]:
    """What stands out in a video, in the order of time, flagged or not.

    Args:
        features: the video's stream `motion`.
        reason: (T,) `validity.Reason` of every source frame (`Faces.reason`); none: nothing is the matter with any.
        per_minute: unflagged false alarms a minute that are accepted.

    Raises:
        UserError: when the stream lacks a region, or `per_minute` is out of range.
    """
    threshold = threshold_for(per_minute)
    seen, found = moving(features), []
    score, fastest = seen.regions, seen.regions.max(1)
    for first, last in bursts(fastest, threshold, features.fps / features.step_frame):
        part = score[first : last + 1].max(0)
        regions = tuple(RULE_REGIONS[i] for i in np.argsort(-part) if part[i] >= threshold)
        fastest_step = first + int(fastest[first : last + 1].argmax())
        onset, peak, offset = source_frames(features, np.array([first, fastest_step, last]))
        flags = flags_of(seen, (onset, offset), reason)
        found.append(Candidate(onset, peak, offset, float(part.max()), regions, flags))
    return found


def region_scores(features: Features, regions: tuple[str, ...] = RULE_REGIONS) -> np.ndarray:
    """(F, regions) float64 motion above the video's own noise, in its robust deviations; 0 where not valid.

    Raises:
        UserError: when the stream has no place of a region.
    """
    columns = [_columns(features, region) for region in regions]
    values = features.read(0, features.n_steps)
    return above_noise(np.stack([_fastest(place_scores(values[:, own])) for own in columns], 1), features)


def above_noise(moved: np.ndarray, features: Features) -> np.ndarray:
    """(F, n) what moves, averaged over a moment, in robust deviations of itself; 0 where not valid."""
    valid, found = features.valid(), np.zeros(moved.shape)
    if valid.any():
        smooth = moment_mean(moved, valid, round(MOMENT_S * features.fps / features.step_frame))
        middle = np.median(smooth[valid], 0)
        noise = 1.4826 * np.median(np.abs(smooth[valid] - middle), 0)
        found[valid] = (smooth[valid] - middle) / np.maximum(noise, LEAST_NOISE)
    return found


def place_scores(values: np.ndarray) -> np.ndarray:
    """The robust deviations from which the channels of `motion` were compressed (`features.motion.normalise`)."""
    return np.asarray(2 * np.sinh(values.astype(np.float64) / 2))


def _fastest(scores: np.ndarray) -> np.ndarray:
    """(F,) mean of the PLACES largest of the places (F, P)."""
    return np.asarray(np.sort(scores, 1)[:, -PLACES:].mean(1))


def _columns(features: Features, region: str) -> list[int]:
    """Channels of a region's places."""
    named = [(i, n.removesuffix(SPAN)) for i, n in enumerate(features.channels) if n.endswith(SPAN)]
    found = [i for i, place in named if place.rpartition("_")[0] in MEMBERS[region]]
    if not found:
        problem = f"no place of the {region} with {SPAN.removeprefix('.')}"
        raise UserError(file=features.path, where="channels", problem=problem, expected="the stream motion")
    return found


def moment_mean(values: np.ndarray, valid: np.ndarray, steps: int) -> np.ndarray:
    """(F, C) mean over the valid ones of the `steps` (made odd) around each step; 0 where there is none."""
    half = max(0, steps) // 2
    total = np.cumsum(np.pad(values * valid[:, None], ((half + 1, half), (0, 0))), 0, dtype=np.float64)
    count = np.cumsum(np.pad(valid.astype(float), (half + 1, half)))
    width = 2 * half + 1
    return np.asarray((total[width:] - total[:-width]) / np.maximum(count[width:] - count[:-width], 1)[:, None])


def bursts(score: np.ndarray, threshold: float, rate: float) -> list[tuple[int, int]]:
    """First and last step of each candidate: from half the threshold up to it and down again, neighbours joined.

    Args:
        score: (F,) of the fastest region.
        threshold: that some step must reach.
        rate: steps per second.
    """
    above = np.flatnonzero(np.diff(np.pad(score >= threshold / 2, 1).astype(np.int8)))
    runs = [(int(a), int(b) - 1) for a, b in above.reshape(-1, 2) if score[a:b].max() >= threshold]
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        near = joined and first - joined[-1][1] <= JOIN_S * rate and last - joined[-1][0] < LONGEST_S * rate
        if near:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def source_frames(features: Features, steps: np.ndarray) -> list[int]:
    """Source frames in the middle of these steps, inside the video."""
    frames = np.clip(steps * features.step_frame + features.clip_frame / 2, 0, features.n_frames - 1)
    return [int(f) for f in np.rint(features.to_source(frames))]


@dataclass(frozen=True, eq=False)
class Moving:
    """What moves in a video, step by step; computed once, however many intervals are asked for.

    Attributes:
        features: the stream `motion`.
        regions: (F, R) scores of RULE_REGIONS; eyes, mouth: (F,) score of these; rigid: (F,) of what no muscle moves.
    """

    features: Features
    regions: np.ndarray
    eyes: np.ndarray
    mouth: np.ndarray
    rigid: np.ndarray


def moving(features: Features) -> Moving:
    """What moves in a video, from its stream `motion`.

    Raises:
        UserError: when the stream has no place of a region.
    """
    regions = region_scores(features)
    eyes, mouth = (region_scores(features, (region,))[:, 0] for region in (EYES, MOUTH))
    return Moving(features, regions, eyes, mouth, turning(features))


def flags_of(seen: Moving, interval: tuple[int, int], reason: np.ndarray | None = None) -> tuple[str, ...]:
    """What else may have moved in an interval, or hides a part of it, whoever found it; sorted.

    `blink`: the lids moved far more than they mostly do, and than the rest of the face. `head_turn`: the bridge and the
    tip of the nose, which no muscle moves, moved at least half as much as the face. `speech`: the mouth also moves
    before and after. `occlusion`: frames do not show the face in its place. `repeated`: frames that repeat the one
    before. `cut`: another shot or place begins. `gap`: time is missing.

    Args:
        seen: what moves in the video.
        interval: onset and offset, source frames.
        reason: (T,) `validity.Reason` of every source frame; none: nothing is the matter with any.
    """
    at = seen.features.to_frames(np.array(interval, np.float64)) / seen.features.step_frame
    part = slice(max(0, int(np.floor(at[0]))), int(np.ceil(at[1])) + 1)
    face = float(seen.regions[part].max(initial=0))
    found = {
        "blink": float(seen.eyes[part].max(initial=0)) >= max(BLINK_SCORE, BLINK_SHARE * face),
        "head_turn": float(seen.rigid[part].max(initial=0)) >= max(TURN_SCORE, TURN_SHARE * face),
        "speech": talking(seen, part) >= SPEECH_SHARE,
    }
    inside = () if reason is None else np.unique(np.asarray(reason)[interval[0] : interval[1] + 1]).tolist()
    found |= {FLAG_OF[Reason(code)]: True for code in inside if code != Reason.NONE}
    return tuple(sorted(name for name, there in found.items() if there))


def talking(seen: Moving, part: slice) -> float:
    """Share of the time around some steps, not in them, in which the mouth moves; what is not valid counts as still."""
    reach = round(SPEECH_AROUND_S * seen.features.fps / seen.features.step_frame)
    around = np.zeros(len(seen.mouth), bool)
    around[max(0, part.start - reach) : part.stop + reach] = True
    around[part] = False
    moves = seen.mouth[around] >= SPEECH_SCORE
    return float(moves.mean()) if len(moves) else 0.0


def turning(features: Features) -> np.ndarray:
    """(F,) motion of RIGID above its own noise, in robust deviations; 0 where not valid or not measured."""
    columns = [features.channels.index(name) for name in RIGID if name in features.channels]
    if not columns:
        return np.zeros(features.n_steps)
    scores = place_scores(features.read(0, features.n_steps)[:, columns])
    return above_noise(scores.mean(1, keepdims=True), features)[:, 0]


# Method `candidates`: motion that stands out from a video's own noise, as `candidates` finds it. It learns nothing.

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
