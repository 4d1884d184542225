"""A video that is not the one of the index, or no longer, is an error and no result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.faces import faces
from microexp.faces.params import CropsParams, FacesParams
from microexp.pipeline import STAGES
from microexp.reading.fingerprint import fingerprint
from microexp.records.index import read_videos, write_videos
from microexp.rendered.video import write_video
from microexp.run.provenance import read_provenance
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.faces.conftest import moved

CHANGED = "a video that has changed since it was indexed"


def spoil(path: Path) -> None:
    """Another content that every decoder still takes."""
    with (path / "img12.png" if path.is_dir() else path).open("ab") as file:
        file.write(b"x")


@pytest.fixture(params=["folder", "file"])
def video(request: pytest.FixtureRequest, face: np.ndarray, make_folder: Callable[..., Path], tmp_path: Path) -> Path:
    frames = [moved(face, 3 * np.sin(t / 3)) for t in range(12)]
    if request.param == "folder":
        return make_folder("v1", frames)
    write_video(tmp_path / "v1.mp4", frames, 30)
    return tmp_path / "v1.mp4"


@pytest.fixture
def jobs(video: Path, make_index: Callable[..., Path], tmp_path: Path) -> dict[str, Callable[[], None]]:
    """Both stages that read videos, on an index with the video's fingerprint; the faces of the second are there."""
    index = make_index({"v1": (video, 12)})
    write_videos(index, [replace(v, fingerprint=fingerprint(video)) for v in read_videos(index)])
    made, again, cut = (tmp_path / name / "set" / "s1.h5" for name in ("faces", "again", "crops"))
    looking = FacesParams(landmark_frames=2)
    run_stage(STAGES["faces"], Job({"videos": [index]}, {"faces": made}, looking))
    assert read_provenance(made)["videos"] == {"v1": fingerprint(video)}
    cutting = Job({"videos": [index], "faces": [made]}, {"crops": cut}, CropsParams(size=32))
    return {
        "faces": lambda: run_stage(STAGES["faces"], Job({"videos": [index]}, {"faces": again}, looking)),
        "crops": lambda: run_stage(STAGES["crops"], cutting),
    }


@pytest.mark.long
@pytest.mark.parametrize("stage", ["faces", "crops"])
def test_a_video_that_changed_before_it_is_read(jobs: dict[str, Callable[[], None]], video: Path, stage: str) -> None:
    jobs[stage]()
    spoil(video)
    with pytest.raises(UserError, match=CHANGED):
        jobs[stage]()


@pytest.mark.long
@pytest.mark.parametrize("stage", ["faces", "crops"])
def test_a_video_that_changes_while_it_is_read(
    jobs: dict[str, Callable[[], None]], tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was the right one when it was opened."""
    real = faces.open_video

    def opened(path: Path) -> Any:
        source = real(path)
        spoil(path)
        return source

    monkeypatch.setattr(faces, "open_video", opened)
    with pytest.raises(UserError, match=CHANGED):
        jobs[stage]()
    assert not any((tmp_path / name / "set" / "s1.h5").exists() for name in ("again", "crops"))
