"""The two stages, from the command line to the index."""

import fcntl
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.datasets.index import load_adapter
from microexp.reading.params import DemoSheetParams, DemoVideoParams, IndexParams
from microexp.reading.read import read_release
from microexp.reading.release import Release
from microexp.rendered.demo import demo_subjects, demo_videos, video_path
from microexp.rendered.scene import make_scene, render
from microexp.rendered.schedule import draw_expressions, n_frames
from microexp.rendered.video import write_video
from microexp.run import compiled, provenance

from .conftest import SMALL

OPTIONS = SMALL.model_dump_json(include=set(DemoVideoParams.model_fields))
SHEET_OPTIONS = SMALL.model_dump_json(include=set(DemoSheetParams.model_fields))


def render_small(folder: Path, video: str = "s01_1", options: str = OPTIONS) -> Path:
    out = folder / video_path(video[:3], video)
    assert main(["demo", "--video", video, "--out-video", str(out), "--params", options]) == 0
    return out


@pytest.mark.long
def test_video_holds_the_rendered_frames(tmp_path: Path) -> None:
    path = render_small(tmp_path)
    scene = make_scene(SMALL, "s01_1")
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == SMALL.fps
        frames = [f.to_ndarray(format="rgb24") for f in file.decode(stream)]
    assert len(frames) == n_frames(SMALL)
    for index in (0, 31, len(frames) - 1):
        error = frames[index].astype(float) - render(scene, index)
        assert frames[index].shape == (SMALL.height, SMALL.width, 3)
        assert np.abs(error).mean() < 5  # half of it is the colour's lower resolution
        luminance = (error * [0.299, 0.587, 0.114]).sum(2)
        assert luminance.std() < 1.8
    record = provenance.read_provenance(path)
    assert record["n_frames"] == n_frames(SMALL) and record["keys"] == {"video": "s01_1"}


@pytest.mark.long
def test_kernels_are_compiled_by_one_job_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture compiles them for 12 s; jobs that start together would all do that."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    free: list[bool] = []

    def watched(*arguments: Any) -> np.ndarray:
        folder = compiled.private_folder()
        assert folder is not None
        with (folder / "compiling.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free.append(True)
            except BlockingIOError:
                free.append(False)
        return render(*arguments)

    monkeypatch.setattr("microexp.rendered.scene.render", watched)
    render_small(tmp_path)
    assert free == [False, *[True] * n_frames(SMALL)]


@pytest.mark.long
def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """How many people there are is no option of a video at all."""
    other = json.dumps(json.loads(OPTIONS) | {"seed": 9})
    bytes_of = [
        render_small(tmp_path / name, options=options).read_bytes()
        for name, options in (("a", OPTIONS), ("b", OPTIONS), ("other", other))
    ]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


def test_encoding_is_reproducible_while_the_machine_is_busy(tmp_path: Path) -> None:
    """x264's rate control was not: the bytes must hang on the frames alone."""
    rng = np.random.default_rng(0)
    base = rng.integers(60, 200, (1, 64, 96, 3))
    frames = [np.clip(base[0] + rng.normal(0, 3, (64, 96, 3)), 0, 255).astype(np.uint8) for _ in range(40)]
    busy = threading.Event()
    worker = threading.Thread(target=lambda: [np.sort(rng.random(10_000)) for _ in iter(busy.is_set, True)])
    worker.start()
    try:
        files = set()
        for k in range(6):
            write_video(tmp_path / f"{k}.mp4", frames, 30)
            files.add((tmp_path / f"{k}.mp4").read_bytes())
    finally:
        busy.set()
        worker.join()
    assert len(files) == 1


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def frames() -> object:
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError("the light went out")

    with pytest.raises(RuntimeError, match="light"):
        write_video(tmp_path / "x.mp4", frames(), 30)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_unknown_video_and_impossible_schedule_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.mp4")
    assert main(["demo", "--video", "s01_2", "--out-video", out, "--params", OPTIONS]) == 2
    assert "demo: video: got 's01_2', expected a name such as s01_1" in capsys.readouterr().err
    short = json.dumps({"seconds": 3.0})
    assert main(["demo-sheet", "--out-sheet", str(tmp_path / "a.csv"), "--params", short]) == 2
    error = capsys.readouterr().err
    assert "demo: seconds: got 3.0" in error and error.count("\n") == 1
    assert main(["demo", "--video", "s01_1", "--out-video", out, "--set", "width=97"]) == 2
    assert "demo.width" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_sheet_and_videos_are_read_back_as_a_release(tmp_path: Path) -> None:
    sheet = tmp_path / "annotations.csv"
    assert main(["demo-sheet", "--out-sheet", str(sheet), "--params", SHEET_OPTIONS]) == 0
    again = tmp_path / "again"
    assert main(["demo-sheet", "--out-sheet", str(again), "--params", SHEET_OPTIONS]) == 0
    assert sheet.read_bytes() == again.read_bytes()
    for _, video in demo_videos(SMALL):
        render_small(tmp_path, video)
    leftover = tmp_path / video_path("s07", "s07_1")
    leftover.parent.mkdir()
    leftover.write_bytes((tmp_path / video_path("s01", "s01_1")).read_bytes())
    adapter = load_adapter("demo", "demo")
    index = read_release(adapter, Release("demo", tmp_path, IndexParams(adapter="demo")))
    assert [(v.subject, v.video, v.n_frames, v.fps, v.width, v.height) for v in index.videos] == [
        (s, f"{s}_1", n_frames(SMALL), SMALL.fps, 96, 72) for s in ("s01", "s02")
    ]
    truth = [e for number in (1, 2) for e in draw_expressions(SMALL, number, 1)]
    read = [(e.onset, e.apex, e.offset, e.kind, e.emotion, e.aus) for e in index.expressions]
    assert read == [(e.onset, e.apex, e.offset, e.kind, e.emotion, e.aus) for e in truth]
    assert [(i.file, i.problem) for i in index.issues] == [("videos/s07/s07_1.mp4", "not in the sheet")]


@pytest.mark.long
@pytest.mark.parametrize("still", [{"still": 1.0}, {"micro": 0, "macro": 0}])
def test_people_who_show_no_expression_are_in_the_data_set(tmp_path: Path, still: dict[str, float]) -> None:
    options = json.dumps(json.loads(SHEET_OPTIONS) | still)
    assert main(["demo-sheet", "--out-sheet", str(tmp_path / "annotations.csv"), "--params", options]) == 0
    for _, video in demo_videos(SMALL):
        render_small(tmp_path, video)
    index = read_release(load_adapter("demo", "demo"), Release("demo", tmp_path, IndexParams(adapter="demo")))
    assert [v.subject for v in index.videos] == ["s01", "s02"] and not index.expressions and not index.issues


def test_subjects_are_planned_before_anything_is_rendered() -> None:
    adapter = load_adapter("demo", "demo")
    assert adapter.planned is not None and adapter.planned(SMALL) == demo_subjects(SMALL) == ["s01", "s02"]
    assert adapter.default_root == "results/demo"
