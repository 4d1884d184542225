"""What people do in an untidy recording beside their expressions: they talk, turn their heads, and change their seats.

Every kind of motion has random numbers of its own, drawn from the seed, the person and the video: one kind does not
change another, and without any a script stays as it was. None of it is annotated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from microexp.reading.params import UntidyParams
from microexp.rendered.head import face_unit_names
from microexp.rendered.schedule import STRONGEST, Script

VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.34, "mouthLowerDown*": 0.25},
    {"jawOpen": 0.2, "mouthStretch*": 0.3, "mouthLowerDown*": 0.25},
    {"jawOpen": 0.17, "mouthFunnel": 0.45},
    {"jawOpen": 0.1, "mouthPucker": 0.6},
    {"jawOpen": 0.06, "mouthSmile*": 0.12, "mouthUpperUp*": 0.2},
    {"mouthRollLower": 0.35, "mouthRollUpper": 0.2, "mouthPress*": 0.2},
    {"mouthClose": 0.1, "mouthShrugLower": 0.3},
)
"""What the mouth does in a syllable, at full loudness: vowels from open to closed, then lips pressed as in b, m, p."""
SYLLABLE_S = (0.12, 0.3)
"""Shortest and longest syllable: three to eight a second, as people speak (Pellegrino et al., Language 87, 2011)."""
SPEECH_S = (0.8, 4.0)
"""Shortest and longest stretch between two breaths."""
TURN_RAD = (0.06, 0.4)
"""Smallest and largest turn of the head to a side; nods have half of it."""
SEAT_DM = np.array([0.35, 0.2, 0.4])
"""Standard deviation of how far a new seat is from the middle: across, up, towards the camera."""

SPEECH, TURNS, SEATS = 11, 12, 13
"""What random numbers are for."""


def add_to(script: Script, untidy: UntidyParams, fps: int, *, take: int) -> Script:
    """The script with speech, larger glances, turns of the head and changes of the seat; (T,…) arrays as they were."""
    total = len(script.units)
    key = (script.subject.seed, script.subject.number)
    voice, turning, seats = (np.random.default_rng([*key, kind, take]) for kind in (SPEECH, TURNS, SEATS))
    units, nods = speech(voice, total, fps, share=untidy.speech)
    brightest = np.maximum(script.units, STRONGEST)
    return replace(
        script,
        units=np.clip(script.units + units, 0, brightest),
        turn_rad=script.turn_rad + nods + head_turns(turning, total, fps, per_minute=untidy.turns),
        shift=script.shift + seat_changes(seats, total, fps, per_minute=untidy.seat_changes),
        gaze_rad=script.gaze_rad * untidy.gaze,
    )


def speech(rng: np.random.Generator, total: int, fps: int, *, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Face units (total,52) and turns of the head (total,3) rad of somebody who talks for about `share` of the time.

    People differ: the share of one video is drawn between 0 and twice the mean.
    """
    units, nods = np.zeros((total, len(face_unit_names()))), np.zeros((total, 3))
    own = min(1.0, share * 2 * float(rng.uniform()))
    frame = 0.0
    while own > 0 and frame < total:
        length = rng.uniform(*SPEECH_S) * fps
        pause = length * (1 - own) / own * rng.uniform(0.4, 1.6)
        frame += pause
        _say(rng, units, nods, (frame, frame + length), fps)
        frame += length
    return units, nods


def _say(rng: np.random.Generator, units: np.ndarray, nods: np.ndarray, span: tuple[float, float], fps: int) -> None:
    """Add one stretch of speech between two times (frames) to units and nods: a syllable after the other."""
    loudness, (frame, end) = rng.uniform(0.5, 1.1), span
    while frame < end:
        length = rng.uniform(*SYLLABLE_S) * fps
        viseme, level = VISEMES[rng.integers(len(VISEMES))], loudness * rng.uniform(0.5, 1.1)
        units += bump(len(units), frame, 1.5 * length)[:, None] * level * _weights(viseme)
        frame += length
    for stress in rng.uniform(*span, size=rng.poisson((span[1] - span[0]) / fps)):
        course = bump(len(nods), stress, rng.uniform(0.3, 0.6) * fps)
        nods += course[:, None] * rng.normal(0, (0.03, 0.02, 0.012))
        brows = {"browInnerUp": 0.35, "browOuterUp*": 0.35} if rng.uniform() < 0.25 else {}
        units += course[:, None] * rng.uniform(0.2, 0.8) * _weights(brows)


def head_turns(rng: np.random.Generator, total: int, fps: int, *, per_minute: float) -> np.ndarray:
    """Turns of the head (total,3) rad about x, y and z: away, a moment there, and back."""
    turns = np.zeros((total, 3))
    for frame in np.sort(rng.uniform(0, total, rng.poisson(per_minute * total / fps / 60))):
        away, stay, back = rng.uniform((0.25, 0.2, 0.3), (0.7, 2.0, 0.9)) * fps
        course = ramp(total, frame, away) - ramp(total, frame + away + stay, back)
        size = np.exp(rng.uniform(*np.log(TURN_RAD))) * rng.choice((-1.0, 1.0))
        nod = rng.uniform() < 0.35
        axis = np.array([0.5, rng.normal(0, 0.15), 0.0]) if nod else np.array([rng.normal(0, 0.15), 1.0, 0.0])
        turns += course[:, None] * size * (axis + np.array([0, 0, rng.normal(0, 0.15)]))
    return turns


def seat_changes(rng: np.random.Generator, total: int, fps: int, *, per_minute: float) -> np.ndarray:
    """Shifts of the person (total,3) dm: still, then within a second in another place."""
    shift, place = np.zeros((total, 3)), np.zeros(3)
    for frame in np.sort(rng.uniform(0, total, rng.poisson(per_minute * total / fps / 60))):
        to = np.clip(rng.normal(0, SEAT_DM), -2 * SEAT_DM, 2 * SEAT_DM)
        shift += ramp(total, frame, rng.uniform(0.4, 1.2) * fps)[:, None] * (to - place)
        place = to
    return shift


def bump(total: int, middle: float, length: float) -> np.ndarray:
    """(total,) a smooth rise to 1 at `middle` and fall, `length` frames in all."""
    course = np.clip(1 - np.abs(np.arange(total) - middle) / (length / 2), 0, 1)
    return np.asarray(course**2 * (3 - 2 * course))


def ramp(total: int, start: float, length: float) -> np.ndarray:
    """(total,) 0 before `start`, 1 from `length` frames later on, smooth between."""
    course = np.clip((np.arange(total) - start) / length, 0, 1)
    return np.asarray(course**2 * (3 - 2 * course))


def _weights(units: Mapping[str, float]) -> np.ndarray:
    """(52,) weights of face units given by name, with `*` for Left and Right."""
    both = {n.replace("*", side): w for n, w in units.items() for side in ("Left", "Right")}
    return np.array([both.get(name, 0.0) for name in face_unit_names()])
