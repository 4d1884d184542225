"""Data without videos: frame counts, a sheet, and features of another program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.commands.main import main
from microexp.config import parse
from microexp.datasets.index import listing
from microexp.errors import UserError
from microexp.features.params import GivenSource
from microexp.plan import Plan
from microexp.reading.params import DatasetParams, DemoParams
from microexp.records.features import Files, list_features
from microexp.records.index import read_expressions, read_videos
from microexp.stage_options import stage_options
from tests.methods.spotting.made_up import MadeUp, run_fold
from tests.methods.spotting.quick import QUICK

SUBJECTS = ("anna", "ben", "carl", "dora")
FRAMES = 240


def write_release(root: Path) -> Path:
    """Four people with a video of eight seconds each, and two expressions in it."""
    root.mkdir(parents=True)
    rows = [f"{s},take1,{FRAMES},30" for s in SUBJECTS]
    (root / "videos.csv").write_text("\n".join(["subject,video,n_frames,fps", *rows]) + "\n")
    marked = [f"{s},take1,{a},{a + 5},{a + 11},micro\n" for s in SUBJECTS for a in (41, 161)]
    (root / "annotations.csv").write_text("subject,video,onset,apex,offset,kind\n" + "".join(marked))
    return root


def write_series(root: Path) -> Path:
    """One CSV per video, with values that rise where the expressions are."""
    rng = np.random.default_rng(0)
    for subject in SUBJECTS:
        values = rng.normal(size=(FRAMES, 4))
        for onset in (40, 160):
            values[onset : onset + 12, :2] += 3
        lines = [",".join(f"{v:.4f}" for v in row) for row in values]
        (root / subject).mkdir(parents=True)
        (root / subject / "take1.csv").write_text("\n".join(["a,b,c,d", *lines]))
    return root


def configuration(folder: Path, **methods: object) -> dict[str, object]:
    return {
        "datasets": {"mine": {"adapter": "listed", "root": str(folder / "data")}},
        "given": {"root": str(folder / "series")},
        "spotting": {"mine": {"datasets": ["mine"], "methods": methods}},
    }


GIVEN = {"method": "aemnet", "network": {"streams": ["given"]}}


@pytest.mark.long
def test_spotting_from_given_features_without_any_video(tmp_path: Path) -> None:
    """Index, features and a fold, by the commands that the rules run."""
    root, series = write_release(tmp_path / "data"), write_series(tmp_path / "series")
    index = tmp_path / "results/index/mine"
    outputs = [f"--out-{n}={index}/{n}.csv" for n in ("videos", "expressions", "issues", "counts", "excluded")]
    options = ['--params={"adapter": "listed"}', f"--root={root}", "--dataset=mine"]
    assert main(["index", *options, *outputs]) == 0
    videos = read_videos(index / "videos.csv")
    assert [(v.subject, v.video, v.n_frames, v.fps, v.width) for v in videos] == [
        (s, "take1", FRAMES, 30.0, 0) for s in SUBJECTS
    ]
    assert [e.onset for e in read_expressions(index / "expressions.csv", videos)] == [40, 160] * 4
    shards = []
    for subject in SUBJECTS:
        own = index / "subjects" / subject
        parts = [f"--out-{n}={own}/{n}.csv" for n in ("videos", "expressions")]
        assert main(["index-subject", *options, f"--subject={subject}", *parts]) == 0
        shards.append(tmp_path / f"results/features/given/mine/{subject}.h5")
        arguments = [f"--videos={own}/videos.csv", f"--files={series}/{subject}/take1.csv"]
        assert main(["given", *arguments, f"--out-features={shards[-1]}"]) == 0
    with Files() as files:
        assert [f.n_steps for f in list_features(shards, files)] == [FRAMES] * 4
    data = MadeUp(tmp_path, shards, index / "expressions.csv", index / "videos.csv")
    network = {**QUICK["network"], "streams": ["given"], "stem_stride": 2}  # type: ignore[dict-item]
    out = run_fold(data, tmp_path / "fold", "mine-anna", method="aemnet", options={**QUICK, "network": network})
    assert (out / "detections.csv").read_text().startswith("method,seed,dataset,subject,video,onset")


def test_the_plan_has_no_faces(tmp_path: Path) -> None:
    write_release(tmp_path / "data")
    write_series(tmp_path / "series")
    config = parse(configuration(tmp_path, mine=GIVEN, random_intervals={}), "c.yaml")
    plan = Plan(config, {"mine": SUBJECTS})
    made = plan.everything()
    assert "results/features/given/mine/anna.h5" in made and "results/report.html" in made
    assert not [f for f in made if f.split("/")[1] in ("faces", "crops", "flow")]
    assert plan.crops_of("mine", "anna") == plan.faces_of("mine", "anna") == []
    assert plan.last_shards() == [f"results/features/given/mine/{s}.h5" for s in SUBJECTS]
    assert plan.given_files("mine", "anna") == [str(tmp_path / "series/anna/take1.csv")]
    assert stage_options(config, "index", "mine")["adapter"] == "listed"


@pytest.mark.parametrize(
    ("methods", "problem"),
    [
        ({"flow_magnitude": {}}, "datasets.mine: no videos, but motion reads some"),
        ({"aemnet": {"network": {"streams": ["i3d_rgb"]}}, "mine": GIVEN}, "no videos, but i3d-rgb reads some"),
        ({"random_intervals": {}}, "no method of spotting.mine reads its features"),
    ],
)
def test_methods_that_need_videos_are_refused(tmp_path: Path, methods: dict[str, object], problem: str) -> None:
    config = parse(configuration(tmp_path, **methods), "c.yaml")
    with pytest.raises(UserError, match=problem):
        Plan(config, {"mine": SUBJECTS})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("eve,take1,many,30", r"row 6, n_frames: got 'many', expected a number above 0"),
        ("eve,take1,0,30", r"row 6, n_frames: got '0', expected a number above 0"),
        ("eve,take1,10,inf", r"row 6, fps: got 'inf', expected a number above 0"),
        (",take1,10,30", r"row 6, subject: nothing; expected a name"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, problem: str) -> None:
    root = write_release(tmp_path / "data")
    with (root / "videos.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(UserError, match=problem):
        listing("mine", DatasetParams(adapter="listed", root=str(root)), DemoParams())


def test_a_missing_list_and_a_flow_without_videos_are_named(tmp_path: Path) -> None:
    root = write_release(tmp_path / "data")
    with pytest.raises(UserError, match=r"apex_missing: 'flow', but there is no video"):
        listing("mine", DatasetParams(adapter="listed", root=str(root), apex_missing="flow"), DemoParams())
    (root / "videos.csv").unlink()
    with pytest.raises(UserError, match=r"videos\.csv: datasets\.mine: no such file; expected a list with the columns"):
        listing("mine", DatasetParams(adapter="listed", root=str(root)), DemoParams())


def test_a_changed_length_concerns_its_own_subject(tmp_path: Path) -> None:
    root = write_release(tmp_path / "data")
    options = DatasetParams(adapter="listed", root=str(root))
    before = listing("mine", options, DemoParams()).digests
    text = (root / "videos.csv").read_text()
    (root / "videos.csv").write_text(text.replace(f"ben,take1,{FRAMES}", f"ben,take1,{FRAMES + 1}"))
    after = listing("mine", options, DemoParams()).digests
    assert {s for s in SUBJECTS if before[s] != after[s]} == {"ben"}


def test_check_reads_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(tmp_path / "data")
    path = tmp_path / "c.yaml"
    path.write_text(f"datasets:\n  mine: {{adapter: listed, root: {tmp_path / 'data'}}}\n")
    assert main(["check", str(path)]) == 0
    assert "4" in capsys.readouterr().out


def test_a_source_of_series_is_needed(tmp_path: Path) -> None:
    from microexp.features.given import files_of

    with pytest.raises(UserError, match=r"given\.root: missing"):
        files_of(GivenSource(), "mine", "anna", alone=True)
