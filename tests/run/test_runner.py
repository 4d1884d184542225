"""What is recorded of the software that made a result."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import cv2
import pytest

from microexp.run import runner


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Names and versions of the distributions that are installed."""
    installed: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    runner.library_versions.cache_clear()
    yield installed
    runner.library_versions.cache_clear()


@pytest.mark.parametrize("name", ["dlib-bin", "dlib"])
def test_a_library_has_one_name_whatever_its_distribution_is_called(versions: dict[str, str], name: str) -> None:
    versions[name] = "20.0.1"
    assert runner.library_versions() == {"cv2": cv2.__version__, "dlib-bin": "20.0.1"}


def test_opencv_is_the_one_that_is_imported(versions: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution may have overwritten the one whose record is still there."""
    versions["opencv-contrib-python-headless"] = "4.14.0.94"
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    assert runner.library_versions()["cv2"] == "5.0.0"


def test_everything_that_a_result_depends_on_is_recorded() -> None:
    runner.library_versions.cache_clear()
    wanted = {"numpy", "scipy", "numba", "torch", "dlib-bin", "av", "pillow", "h5py", "hdf5plugin",
              "safetensors", "opencv-contrib-python-headless", "cv2"}  # fmt: skip
    assert wanted <= runner.library_versions().keys()
