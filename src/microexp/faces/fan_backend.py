"""Faces and landmarks by the optional package `face-alignment` (Bulat & Tzimiropoulos 2017), meant for GPUs.

The package downloads its weights when it is left to itself. Here they are files that the user supplies, checked by the
hash that is part of their names; its download function is replaced, so that nothing can be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.faces.geometry import rebox
from microexp.faces.observe import Face
from microexp.run.devices import pick_device
from microexp.run.storage import file_sha256

WEIGHTS = {"2DFAN4-11f355bf06.pth.tar": "11f355bf06", "s3fd-619a316812.pth": "619a316812"}
"""File name -> start of its SHA-256."""


def check_weights(folder: str | None) -> Path:
    """The folder of weights, when both files are there and intact.

    Raises:
        UserError: naming the option or the file.
    """
    if folder is None:
        raise UserError(
            file="faces.weights",
            problem="nothing",
            expected="a folder with " + " and ".join(WEIGHTS),
            hint="microexp never downloads them",
        )
    for name, digest in WEIGHTS.items():
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(file=path, problem="no such file", expected="a weight file of face-alignment 1.5.0")
        if not file_sha256(path).startswith(digest):
            raise UserError(file=path, problem="a damaged or another file", expected=f"SHA-256 {digest}…")
    return Path(folder)


@dataclass
class FanBackend:
    """2DFAN-4 landmarks in the S3FD face of highest score; each frame on its own."""

    network: Any
    device: str

    def start(self) -> None:
        """Nothing is remembered between frames."""

    def provenance(self) -> dict[str, Any]:
        """Weights and device."""
        return {"landmarks": "2DFAN-4", "weights": dict(WEIGHTS), "device": self.device}

    def find(self, frame: np.ndarray) -> Face | None:
        """The largest face in a grey frame (H, W) uint8, or None."""
        colour, boxes = self._detect(frame)
        largest = max(boxes, key=lambda box: float(np.prod(box[2:4] - box[:2])), default=None)
        return None if largest is None else self._face(colour, largest)

    def find_all(self, frame: np.ndarray) -> list[Face]:
        """All faces in a grey frame that the detector is half as sure of as of the surest one."""
        colour, boxes = self._detect(frame)
        return [face for box in boxes if (face := self._face(colour, box)) is not None]

    def count(self, frame: np.ndarray) -> int:
        """How many faces `find_all` would find."""
        return len(self.find_all(frame))

    def _detect(self, frame: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        colour = np.repeat(frame[:, :, None], 3, axis=2)
        boxes = [np.asarray(box) for box in self.network.face_detector.detect_from_image(colour.copy())]
        surest = max((float(box[-1]) for box in boxes), default=0.0)
        return colour, [box for box in boxes if box[-1] >= surest / 2]

    def _face(self, colour: np.ndarray, box: np.ndarray) -> Face | None:
        found = self.network.get_landmarks_from_image(colour, [box])
        if not found:
            return None
        landmarks = np.asarray(found[0], np.float64)[:, :2]
        return Face(rebox(landmarks), landmarks, float(box[-1]))


def load(folder: str | None, device: str) -> FanBackend:
    """Make the backend.

    Args:
        folder: where the weight files lie.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        UserError: when the package, one that it needs, its weights or the device are missing.
    """
    weights = check_weights(folder)
    device = str(pick_device(device))
    try:
        import face_alignment
        from face_alignment import api
    except ModuleNotFoundError as error:
        raise UserError(
            file="faces.backend",
            where="face_alignment",
            problem=f"no package {error.name}",
            expected="face-alignment 1.5.0",
            hint="pip install scikit-image tqdm; pip install --no-deps face-alignment==1.5.0: with its dependencies it "
            "overwrites OpenCV",
        ) from error

    def supplied(url: str, *_: Any, **__: Any) -> str:
        """The weight file of one's own, in place of a download."""
        name = url.rsplit("/", 1)[-1]
        if name not in WEIGHTS:
            raise UserError(file="faces.weights", problem=f"a request for {name}", expected="face-alignment 1.5.0")
        return str(weights / name)

    api.load_file_from_url = supplied
    network = face_alignment.FaceAlignment(
        face_alignment.LandmarksType.TWO_D,
        device=device,
        face_detector="sfd",
        face_detector_kwargs={"path_to_detector": str(weights / "s3fd-619a316812.pth")},
        compile=False,
    )
    return FanBackend(network, device)
