"""What happens in a video: when which expression is shown, and everything that is not annotated.

Expressions never overlap. Blinks, swallowing, gaze and the head's sway go on beside them, as in a real recording.
Frames are 0-based here; an expression is the closed interval [onset, offset].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from microexp.errors import UserError
from microexp.reading.params import DemoScriptParams, DemoSheetParams, DemoVideoParams
from microexp.rendered.head import EMOTIONS, UnitMotion, draw_motions
from microexp.rendered.subjects import RenderedSubject, make_subject

P = TypeVar("P", bound=DemoScriptParams)

MICRO_S = (0.2, 0.5)
"""Shortest and longest micro-expression (Yan et al., J. Nonverbal Behavior 37, 2013: at most 0.5 s)."""
MACRO_S = (0.6, 2.5)
MARGIN_S = 0.5
"""Least rest before, between and after expressions."""
STRONGEST = 1.6
"""Face units that several motions share are not driven further than this."""
MICRO_STRENGTH = (0.13, 0.35)
MACRO_STRENGTH = (0.45, 1.0)


@dataclass(frozen=True)
class ActedExpression:
    """One annotated expression.

    Attributes:
        hold_frame: until when it stays at its apex.
    """

    onset: int
    apex: int
    offset: int
    hold_frame: float
    kind: str
    emotion: str
    motions: tuple[UnitMotion, ...]

    @property
    def aus(self) -> str:
        """Action units as a coder writes them: `6+12`."""
        return "+".join(m.label for m in self.motions)

    def strength(self, n_frames: int, motion: UnitMotion) -> np.ndarray:
        """Course of one unit over the video, (n_frames,) in 0..1: a quick smooth rise, a hold, a slower release.

        Exactly zero outside [onset, offset]; without lag exactly 1 at the apex.
        """
        t = np.arange(n_frames, dtype=float)
        lag = min(motion.lag_frame, (self.apex - self.onset) * 0.5)
        start, end = self.onset - 0.5 + lag, self.offset + 0.5
        rise = np.clip((t - start) / max(self.apex - start, 1e-9), 0, 1)
        fall = np.clip((end - t) / max(end - self.hold_frame, 1e-9), 0, 1)
        return np.asarray(rise**2 * (3 - 2 * rise) * fall**1.5 * (2.5 - 1.5 * fall))


@dataclass(frozen=True)
class Script:
    """Everything that a person does in a video of T frames.

    Attributes:
        expressions: the annotated ones, in order of time.
        units: (T,52) weights of the face units, all motions together.
        turn_rad: (T,3) of the head; shift: (T,3) dm; gaze_rad: (T,2) to the left and up.
    """

    subject: RenderedSubject
    expressions: tuple[ActedExpression, ...]
    units: np.ndarray
    turn_rad: np.ndarray
    shift: np.ndarray
    gaze_rad: np.ndarray


def recorded(params: P, number: int, take: int) -> P:
    """The options as they are for one video, which has drawn its rate, its size, and whether anything is shown."""
    rng = np.random.default_rng([_seed(params), number, 10, take])
    rate, size, shown = rng.uniform(size=3)
    change: dict[str, object] = {"fps": params.rates[int(rate * len(params.rates))]} if params.rates else {}
    if isinstance(params, DemoVideoParams) and params.sizes:
        change["width"], change["height"] = params.sizes[int(size * len(params.sizes))]
    if shown < params.still:
        change |= {"micro": 0, "macro": 0}
    return params.model_copy(update=change)


def n_frames(params: DemoScriptParams) -> int:
    """Frames of a video at the rate `fps`."""
    return round(params.seconds * params.fps)


def draw_emotions(params: DemoScriptParams, number: int, take: int) -> list[tuple[str, str]]:
    """(kind, emotion) of each expression of a video, in random order; emotions are balanced over a subject's videos."""
    names = list(EMOTIONS)
    rng = np.random.default_rng([_seed(params), number, 5])
    total = {"micro": params.micro * params.videos, "macro": params.macro * params.videos}
    turn = number  # over the subjects, each emotion gets the odd one in turn
    chosen: list[tuple[str, str]] = []
    for kind, count in total.items():
        emotions = [names[(turn + k) % len(names)] for k in range(count)]
        turn += count
        rng.shuffle(emotions)
        share = count // params.videos
        chosen += [(kind, e) for e in emotions[(take - 1) * share : take * share]]
    order = np.random.default_rng([_seed(params), number, 6, take]).permutation(len(chosen))
    return [chosen[i] for i in order]


def draw_expressions(params: DemoScriptParams, number: int, take: int) -> tuple[ActedExpression, ...]:
    """The annotated expressions of a video, in order of time.

    Raises:
        UserError: when they do not fit into the video.
    """
    params = recorded(params, number, take)
    subject = make_subject(_seed(params), number)
    wanted = draw_emotions(params, number, take)
    rng, lengths = _draw_lengths(params, number, take)
    needed = _frames_needed(params, lengths)
    if n_frames(params) < needed:
        raise too_short(params, needed)
    spare = n_frames(params) - needed
    gaps = round(MARGIN_S * params.fps) + np.floor(rng.dirichlet(np.full(len(lengths) + 1, 2.0)) * spare).astype(int)
    expressions, frame = [], 0
    for (kind, emotion), length, gap in zip(wanted, lengths, gaps, strict=False):
        onset = frame + int(gap)
        expressions.append(_expression(rng, subject, kind, emotion, onset, length))
        frame = onset + length
    return tuple(expressions)


def check_length(params: DemoSheetParams, file: object) -> None:
    """Check that the expressions of every subject fit into their videos; `file` holds the options.

    Raises:
        UserError: when those of some subject do not.
    """
    videos = [(s + 1, take + 1) for s in range(params.subjects) for take in range(params.videos)]
    own = [recorded(params, *video) for video in videos]
    needed = [_frames_needed(p, _draw_lengths(p, *video)[1]) for p, video in zip(own, videos, strict=True)]
    longest = max(range(len(videos)), key=lambda k: needed[k] / own[k].fps)
    if any(n_frames(p) < frames for p, frames in zip(own, needed, strict=True)):
        raise too_short(own[longest], needed[longest], file, where="demo.seconds")


def too_short(params: DemoScriptParams, needed: int, file: object = "demo", *, where: str = "seconds") -> UserError:
    """The error for videos that need so many frames."""
    least = np.ceil(10 * needed / params.fps) / 10
    return UserError(
        file=file, where=where, got=params.seconds, expected=f"at least {least:.1f} for so many expressions"
    )


def make_script(params: DemoScriptParams, number: int, take: int) -> Script:
    """Everything that happens in a video of a tidy recording (`untidy.add_to` adds the rest)."""
    params = recorded(params, number, take)
    subject = make_subject(_seed(params), number)
    expressions = draw_expressions(params, number, take)
    total = n_frames(params)
    rng = np.random.default_rng([_seed(params), number, 8, take])
    units = np.zeros((total, len(UnitMotion(1, 0, 0).weights())))
    for expression in expressions:
        for motion in expression.motions:
            units += expression.strength(total, motion)[:, None] * motion.weights()
    units += _swallowing(rng, expressions, total, params.fps)
    blink = UnitMotion(45, 1, 1).weights()
    lids = _blinks(rng, total, params.fps)[:, None]
    units = np.where(blink > 0, np.maximum(units, lids * blink), units)
    gaze = _gaze(rng, total, params.fps)
    turn, shift = _sway(rng, total, params.fps)
    return Script(subject, expressions, np.clip(units, 0, STRONGEST), turn, shift, gaze)


def _seed(params: DemoScriptParams) -> int:
    return params.seed or 0


def _draw_lengths(params: DemoScriptParams, number: int, take: int) -> tuple[np.random.Generator, list[int]]:
    """Lengths of the expressions of a video (frames), and the generator that goes on to draw the rest of it."""
    rng = np.random.default_rng([_seed(params), number, 7, take])
    tempo = make_subject(_seed(params), number).tempo
    return rng, [_length(rng, kind, params.fps, tempo) for kind, _ in draw_emotions(params, number, take)]


def _frames_needed(params: DemoScriptParams, lengths: Sequence[int]) -> int:
    """Frames of expressions of these lengths with the least rest about them."""
    return sum(lengths) + round(MARGIN_S * params.fps) * (len(lengths) + 1)


def _length(rng: np.random.Generator, kind: str, fps: int, tempo: float) -> int:
    """Length of an expression (frames, both ends counted), inside its kind's limits."""
    low, high = MICRO_S if kind == "micro" else MACRO_S
    seconds = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * tempo
    return int(np.clip(round(seconds * fps), max(3, np.ceil(low * fps)), np.floor(high * fps)))


def _expression(
    rng: np.random.Generator, subject: RenderedSubject, kind: str, emotion: str, onset: int, length: int
) -> ActedExpression:
    micro = kind == "micro"
    strength = float(rng.uniform(*(MICRO_STRENGTH if micro else MACRO_STRENGTH))) * subject.expressivity
    share = float(np.clip(rng.normal(0.45 if micro else 0.35, 0.08), 0.2, 0.6))
    rise = int(np.clip(round(share * (length - 1)), 1, length - 2))
    hold = float(rng.uniform(0.0, 0.15 if micro else 0.5)) * (length - 1 - rise)
    motions = draw_motions(rng, emotion, strength, lopsided=subject.lopsided, lag_frame=0.2 * rise)
    return ActedExpression(onset, onset + rise, onset + length - 1, onset + rise + hold, kind, emotion, motions)


# --- what is not annotated --------------------------------------------------------------------------------------------


def _blinks(rng: np.random.Generator, total: int, fps: int) -> np.ndarray:
    """Closure of the lids (total,) in 0..1: every few seconds, quick to close, slower to open."""
    closure = np.zeros(total)
    t, frame = np.arange(total), rng.uniform(0.5, 3) * fps
    while frame < total:
        down, up = rng.uniform(0.07, 0.1) * fps, rng.uniform(0.13, 0.22) * fps
        course = np.interp(t, [frame - down, frame, frame + 0.03 * fps, frame + up], [0, 1, 1, 0])
        closure = np.maximum(closure, course**2 * (3 - 2 * course))
        frame += rng.uniform(2.0, 5.5) * fps
    return closure


def _swallowing(rng: np.random.Generator, expressions: tuple[ActedExpression, ...], total: int, fps: int) -> np.ndarray:
    """Small movements of chin and lips (total,52) that are no expression, in the pauses between expressions."""
    out = np.zeros((total, len(UnitMotion(1, 0, 0).weights())))
    ends = [0, *(e.offset + 1 for e in expressions)]
    starts = [*(e.onset for e in expressions), total]
    for end, start in zip(ends, starts, strict=True):
        length = rng.uniform(0.7, 1.2) * fps
        strength, where = rng.uniform(0.08, 0.22), rng.uniform()
        if rng.uniform() > 0.35 or start - end < length + 8:
            continue
        middle = end + 4 + length / 2 + where * (start - end - 8 - length)
        course = np.clip(1 - np.abs(np.arange(total) - middle) / (length / 2), 0, 1)
        course = course**2 * (3 - 2 * course) * strength
        motion = UnitMotion(17, 1, 1) if rng.uniform() < 0.6 else UnitMotion(25, 1, 1)
        out += course[:, None] * motion.weights()
    return out


def _gaze(rng: np.random.Generator, total: int, fps: int) -> np.ndarray:
    """Direction of the eyes (total,2) rad: rests near the camera, and quick shifts between the rests."""
    frames, targets, frame = [0.0], [rng.normal(0, (0.03, 0.02))], 0.0
    while frame < total:
        frame += rng.uniform(1.0, 4.0) * fps
        target = rng.normal(0, (0.05, 0.025))
        frames += [frame, frame + 0.08 * fps]
        targets += [targets[-1], target]
    t = np.arange(total)
    return np.stack([np.interp(t, frames, np.array(targets)[:, k]) for k in range(2)], 1)


def _sway(rng: np.random.Generator, total: int, fps: int) -> tuple[np.ndarray, np.ndarray]:
    """Slow sway of head (total,3) rad and body (total,3) dm: smoothed noise of about one cycle in five seconds."""
    width = 0.75 * fps
    reach = int(4 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.normal(size=(6, total + 2 * reach))
    paths = np.array([np.convolve(row, kernel, "valid") for row in noise]).T
    amounts = np.array([0.010, 0.014, 0.007, 0.018, 0.012, 0.02])
    paths = paths * amounts
    return paths[:, :3], paths[:, 3:]
