"""A tree of fake frames of each release runs through the stages from `index` to `apexdiff`, landmarks being given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.datasets.index import listing
from microexp.reading.params import DatasetParams, DemoParams
from microexp.records import index as schema
from microexp.records.clips import read_shards
from microexp.records.exclusions import all_exclusions
from microexp.records.index import Expression
from microexp.run import shard_files, storage

from . import releases

SIZE = 32
FLOW = {"backend": "opencv", "preset": "opencv", "scales": 2, "warps": 1, "outer_iterations": 2, "iterations": 5}


def faces_68(width: int, height: int) -> np.ndarray:
    """(68, 2) made-up landmarks of a face that fills most of the picture."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.stack([0.5 + 0.38 * np.cos(np.pi - angle), 0.5 + 0.4 * np.sin(angle)], 1)
    brows = np.concatenate([np.stack([x + np.linspace(-0.1, 0.1, 5), np.full(5, 0.3)], 1) for x in (0.33, 0.67)])
    nose = np.concatenate(
        [
            np.stack([np.full(4, 0.5), np.linspace(0.4, 0.58, 4)], 1),
            np.stack([np.linspace(0.43, 0.57, 5), np.full(5, 0.62)], 1),
        ]
    )
    turn = np.arange(6) * np.pi / 3
    eyes = np.concatenate([np.stack([x - 0.06 * np.cos(turn), 0.4 - 0.03 * np.sin(turn)], 1) for x in (0.33, 0.67)])
    turn = np.arange(20) * np.pi / 10
    mouth = np.stack([0.5 - 0.13 * np.cos(turn), 0.76 - 0.05 * np.sin(turn)], 1)
    return np.concatenate([jaw, brows, nose, eyes, mouth]) * (width, height)


def texture(root: Path) -> None:
    """Give every frame below `root` a picture that changes a little from frame to frame."""
    rng = np.random.default_rng(5)
    base = cv2.GaussianBlur(rng.integers(0, 255, (80, 72), np.uint8), (0, 0), 2)
    pictures = (p for p in root.rglob("*") if p.suffix in (".jpg", ".png", ".bmp"))
    for index, path in enumerate(sorted(pictures, key=in_time)):
        picture = np.roll(base, abs(index % 34 - 17), axis=1)  # there and back, without a cut
        grey = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR).ndim == 2
        cv2.imwrite(str(path), picture if grey else cv2.merge([picture] * 3))


def in_time(path: Path) -> tuple[Path, list[int]]:
    """Order of frames in time: `img10` comes after `img9`."""
    return path.parent, [int(number) for number in re.findall(r"\d+", path.stem)]


def write_landmarks(videos: list[schema.Video], folder: Path) -> str:
    """One file per video in the form that the backend `given` reads; returns the pattern of their paths."""
    columns = ("frame", *(f"{axis}_{i}" for axis in "xy" for i in range(68)))
    for video in videos:
        points = faces_68(video.width, video.height).T.ravel().tolist()
        rows = [[frame, *points] for frame in range(video.n_frames)]
        storage.write_csv(folder / f"{video.subject}_{video.video}.csv", columns, rows)
    return str(folder / "{subject}_{video}.csv")


def run(stage: str, *arguments: object, **params: object) -> None:
    assert main([stage, *map(str, arguments), "--params", json.dumps(params), "--device", "cpu"]) == 0


SHARDS = ("faces", "crops", "flow", "apexdiff")


def through_all_stages(dataset: str, root: Path, out: Path, **options: object) -> tuple[list[Expression], list[Path]]:
    """Expressions of the data set and the `apexdiff` shard of every subject."""
    names = ("videos", "expressions", "issues", "counts", "excluded")
    run(
        "index",
        "--dataset",
        dataset,
        *(a for n in names for a in (f"--out-{n}", out / f"{n}.csv")),
        root=str(root),
        **options,
    )
    videos = schema.read_videos(out / "videos.csv")
    pattern = write_landmarks(videos, out / "landmarks")
    shards = []
    for subject in listing(dataset, DatasetParams(root=str(root), **options), DemoParams()).subjects:
        here, made_at = out / subject, {n: out / n / dataset / f"{subject}.h5" for n in SHARDS}
        parts = ("--out-videos", here / "v.csv", "--out-expressions", here / "e.csv")
        run("index-subject", "--dataset", dataset, "--subject", subject, *parts, root=str(root), **options)
        out_of = {n: (f"--out-{n}", path) for n, path in made_at.items()}
        index = ("--videos", here / "v.csv", "--expressions", here / "e.csv")
        run("faces", "--videos", here / "v.csv", "--root", root, *out_of["faces"], backend="given", landmarks=pattern)
        read = ("--videos", here / "v.csv", "--root", root)
        run("crops", *read, "--faces", made_at["faces"], *out_of["crops"], size=SIZE)
        run("flow", "--crops", made_at["crops"], *out_of["flow"], **FLOW)
        run("apexdiff", "--crops", made_at["crops"], *index, *out_of["apexdiff"], size=16, flow=FLOW)
        shards.append(made_at["apexdiff"])
    return schema.read_expressions(out / "expressions.csv", videos), shards


RELEASES: list[tuple[str, Callable[[Path], Path], dict[str, object]]] = [
    ("cas_me2", releases.cas_me2, {}), ("samm_lv", releases.samm_lv, {}), ("casme2", releases.casme2, {}),
    ("samm", releases.samm, {}), ("smic", releases.smic, {}), ("cas_me3", releases.cas_me3, {}),
    ("cas_me3", releases.cas_me3_c, {"release": "C"}), ("mmew", releases.mmew, {}), ("ck_plus", releases.ck_plus, {}),
    ("folder", releases.folder, {"source_fps": 30}),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("dataset", "make", "options"), RELEASES, ids=[f"{d}{o.get('release', '')}" for d, _, o in RELEASES]
)
def test_fake_frames_run_to_apexdiff(tmp_path: Path, dataset: str, make, options: dict[str, object]) -> None:
    texture(make(tmp_path / "release"))
    expressions, shards = through_all_stages(dataset, tmp_path / "release", tmp_path / "o", **options)
    seen = []
    for shard in shards:
        with shard_files.open_shard(shard) as file:
            assert json.loads(file.attrs["excluded"]) == []
            assert file["flow"].shape[1:] == (16, 16, 2)
            assert np.abs(file["difference"][:]).max() > 1  # the pictures do change
            seen += list(
                zip(file["video"].asstr()[:], file["onset"][:], file["apex"][:], file["offset"][:], strict=True)
            )
    assert sorted(seen) == sorted((e.video, e.onset, e.apex, e.offset) for e in expressions)
    assert expressions


@pytest.mark.long
def test_a_subject_whose_videos_cannot_be_read_costs_the_others_nothing(tmp_path: Path) -> None:
    texture(releases.casme2(tmp_path / "whole"))
    texture(releases.casme2(tmp_path / "release"))
    for video in (tmp_path / "release/CASME2_RAW_selected/sub04").iterdir():
        for frame in video.iterdir():
            frame.write_bytes(b"damaged")
    everybody, whole = through_all_stages("casme2", tmp_path / "whole", tmp_path / "w")
    expressions, shards = through_all_stages("casme2", tmp_path / "release", tmp_path / "o")
    assert expressions == [e for e in everybody if e.subject != "sub04"]
    assert [s.stem for s in shards] == ["sub01", "sub04", "sub05"]
    for mine, other in zip(shards, whole, strict=True):
        assert (mine.read_bytes() == other.read_bytes()) == (mine.stem != "sub04")
    assert len(read_shards(shards)) == len(expressions)
    lost = all_exclusions(shards, [tmp_path / "o/excluded.csv"])
    assert [(e.subject, e.video) for e in lost] == [("sub04", "EP09f"), ("sub04", "EP12_01f")]
    here = tmp_path / "o/sub04"
    shown = [a for n in SHARDS for a in (f"--{n}", tmp_path / "o" / n / "casme2" / "sub04.h5")]
    keys = ("--dataset", "casme2", "--subject", "sub04")
    index = ("--videos", here / "v.csv", "--expressions", here / "e.csv")
    run("report-subject", *keys, *index, *shown, "--out-page", here / "page.html")
    assert "no video of this subject can be read" in (here / "page.html").read_text()
