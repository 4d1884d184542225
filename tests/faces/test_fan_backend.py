"""The optional backend, tested with a stand-in that has the interface of face-alignment 1.5.0."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.faces import fan_backend

STAND_IN = """
import numpy as np
from . import api

class LandmarksType:
    TWO_D = 1

class Detector:
    def __init__(self, path_to_detector): self.path = path_to_detector
    def detect_from_image(self, image):
        assert image.ndim == 3 and image.dtype == np.uint8
        if image.max() == 0: return []
        return [np.array([1, 2, 30, 40, .6]), np.array([50, 60, 150, 160, .9])]

class FaceAlignment:
    def __init__(self, kind, device, face_detector, face_detector_kwargs, compile):
        assert kind == 1 and face_detector == "sfd" and compile is False
        self.device = device
        self.fan = api.load_file_from_url("https://example.org/files/2DFAN4-11f355bf06.pth.tar")
        self.face_detector = Detector(**face_detector_kwargs)
    def get_landmarks_from_image(self, image, boxes):
        (x0, y0, x1, y1, _), = boxes
        if image[0, 0, 0] == 99: return None
        steps = np.linspace(0, 1, 68)
        return [np.stack([x0 + (x1 - x0) * steps, y0 + (y1 - y0) * steps, 0 * steps], 1)]
"""
API = """
def load_file_from_url(url, *args, **kwargs):
    raise AssertionError("a download was tried")
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    digests = {}
    for name in fan_backend.WEIGHTS:
        (folder / name).write_bytes(name.encode())
        digests[name] = hashlib.sha256(name.encode()).hexdigest()[:10]
    monkeypatch.setattr(fan_backend, "WEIGHTS", digests)
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packages" / "face_alignment"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(STAND_IN)
    (folder / "api.py").write_text(API)
    monkeypatch.syspath_prepend(str(folder.parent))
    for name in ("face_alignment", "face_alignment.api"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_loads_the_given_weights_and_downloads_nothing(weights: Path, package: None) -> None:
    backend = fan_backend.load(str(weights), "cpu")
    assert backend.network.fan == str(weights / "2DFAN4-11f355bf06.pth.tar")
    assert backend.network.face_detector.path == str(weights / "s3fd-619a316812.pth")
    assert backend.provenance()["device"] == "cpu"


def test_takes_the_surest_face(weights: Path, package: None) -> None:
    backend = fan_backend.load(str(weights), "auto")
    backend.start()
    face = backend.find(np.full((200, 200), 7, np.uint8))
    assert face is not None and face.score == 0.9
    assert face.landmarks.shape == (68, 2)
    np.testing.assert_allclose(face.landmarks[[0, 67]], [[50, 60], [150, 160]])
    assert backend.find(np.zeros((200, 200), np.uint8)) is None
    assert backend.find(np.full((200, 200), 99, np.uint8)) is None


def test_another_file_is_not_fetched(weights: Path, package: None) -> None:
    fan_backend.load(str(weights), "cpu")
    from face_alignment import api

    with pytest.raises(UserError, match="depth-2a464da4ea"):
        api.load_file_from_url("https://example.org/depth-2a464da4ea.pth.tar")


@pytest.mark.parametrize("missing", ["face_alignment", "skimage"])
def test_without_the_package_or_one_that_it_needs(
    weights: Path, package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    with (tmp_path / "packages/face_alignment/api.py").open("a") as file:
        file.write("import skimage\n")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=rf"no package {missing}.*scikit-image.*--no-deps"):
        fan_backend.load(str(weights), "cpu")


def test_a_device_that_is_not_there(weights: Path, package: None) -> None:
    with pytest.raises(UserError, match="--device"):
        fan_backend.load(str(weights), "cuda:99")


def test_without_weights(weights: Path) -> None:
    with pytest.raises(UserError, match=r"faces.weights: nothing.*never downloads"):
        fan_backend.load(None, "cpu")
    (weights / "s3fd-619a316812.pth").write_bytes(b"changed")
    with pytest.raises(UserError, match=r"s3fd.*damaged"):
        fan_backend.load(str(weights), "cpu")
    (weights / "s3fd-619a316812.pth").unlink()
    with pytest.raises(UserError, match=r"s3fd.*no such file"):
        fan_backend.load(str(weights), "cpu")
