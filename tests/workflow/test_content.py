"""Content, not dates: what a run computes again when a release's videos and sheets change, also when it was killed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import av
import pytest

from microexp.commands.main import main
from microexp.rendered.video import write_video
from tests.workflow import runs

pytestmark = [pytest.mark.long]

CONFIG = """
seed: 3
datasets: {{mine: {{adapter: folder, root: {root}}}}}
crops: {{size: 48}}
flow: {{preset: opencv}}
spotting: {{mine: {{datasets: [mine], select: {{calibrate: held_out}}, methods: {{flow_magnitude: {{}}}}}}}}
tables: {{bootstrap: 20}}
"""
PEOPLE = ("s01", "s02", "s03")
SNAKEMAKE_LIMIT_BYTES = 1_000_000
SUBJECT_STAGES = ("index_subject", "faces", "crops", "flow", "motion", "report_subject")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three people, as somebody would bring it: no records beside its files."""
    root = tmp_path_factory.mktemp("release")
    script = {"seconds": 6, "micro": 3, "macro": 1, "seed": 3}
    film = json.dumps({**script, "width": 160, "height": 120})
    sheet = json.dumps({**script, "subjects": 3})
    assert main(["demo-sheet", "--out-sheet", str(root / "annotations.csv"), "--params", sheet]) == 0
    for who in PEOPLE:
        place = root / "videos" / who / f"{who}_1.mp4"
        assert main(["demo", "--video", f"{who}_1", "--out-video", str(place), "--params", film]) == 0
    for record in root.rglob("*.prov.json"):
        record.unlink()
    return root


def configure(folder: Path, root: Path) -> Path:
    path = folder / "c.yaml"
    path.write_text(CONFIG.format(root=root))
    return path


@pytest.fixture(scope="module")
def undisturbed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the release."""
    folder = runs.prepare(tmp_path_factory.mktemp("undisturbed"))
    outcome = runs.run(folder, config=configure(folder, release))
    assert outcome.status == 0, outcome.text[-4000:]
    return folder


def mirror(path: Path) -> None:
    """Replace a video by another one of equal length: the same, seen in a mirror."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24")[:, ::-1].copy() for frame in file.decode(video=0)]
    path.unlink()
    write_video(path, frames, 30)


def planned(folder: Path, config: Path) -> dict[str, int]:
    outcome = runs.run(folder, "-n", "--quiet", "rules", config=config)
    assert outcome.status == 0, outcome.text[-3000:]
    return outcome.jobs()


def test_a_copy_with_other_dates_runs_nothing_again(release: Path, undisturbed: Path, tmp_path: Path) -> None:
    """`cp -r`, a restored backup, another folder of another name."""
    folder = runs.copy_run(undisturbed, tmp_path / "run")
    elsewhere = tmp_path / "restored"
    shutil.copytree(release, elsewhere, copy_function=shutil.copy)
    assert planned(folder, configure(folder, elsewhere)) == {}


def test_a_copy_of_the_whole_run_with_other_dates_runs_nothing_again(
    release: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """`cp -r` of a folder with its results: every file of it is as new as the moment in which it was copied."""
    folder, results = tmp_path / "copy", undisturbed / "results"
    large = [path for path in results.rglob("*.h5") if path.stat().st_size > SNAKEMAKE_LIMIT_BYTES]
    assert large, "a file of which Snakemake by itself would compare the date alone"
    shutil.copytree(undisturbed, folder, symlinks=True, copy_function=shutil.copy)
    early = sorted((folder / "results").rglob("*"), reverse=True)
    for seconds, path in enumerate(early):  # inputs newer than what was made from them, in the order of their names
        os.utime(path, (1.7e9 + seconds, 1.7e9 + seconds), follow_symlinks=False)
    os.utime(folder / "results" / large[0].relative_to(results))
    assert planned(folder, folder / "c.yaml") == {}


def test_results_do_not_say_where_the_data_lie(release: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Two people with the same data get the same bytes."""
    elsewhere = tmp_path / "another name" / "x"
    shutil.copytree(release, elsewhere, copy_function=shutil.copy)
    folder = runs.prepare(tmp_path / "run")
    targets = [f"results/crops/mine/{who}.h5" for who in PEOPLE]
    outcome = runs.run(folder, *targets, config=configure(folder, elsewhere))
    assert outcome.status == 0, outcome.text[-3000:]
    one, two = runs.hashes(undisturbed), runs.hashes(folder)
    assert len(two) > 20 and {name for name in two if one[name] != two[name]} == set()


def test_a_changed_video_runs_its_subject_again_and_nobody_else(
    release: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder, root = runs.copy_run(undisturbed, tmp_path / "run"), tmp_path / "release"
    shutil.copytree(release, root)
    config = configure(folder, root)
    mirror(root / "videos/s02/s02_1.mp4")
    jobs = planned(folder, config)
    assert {stage: jobs.get(stage) for stage in SUBJECT_STAGES} == dict.fromkeys(SUBJECT_STAGES, 1) | {
        "report_subject": 3
    }
    outcome = runs.run(folder, config=config)
    assert outcome.status == 0, outcome.text[-3000:]
    assert planned(folder, config) == {}


def test_a_changed_row_runs_its_subject_again_and_no_face(release: Path, undisturbed: Path, tmp_path: Path) -> None:
    folder, root = runs.copy_run(undisturbed, tmp_path / "run"), tmp_path / "release"
    shutil.copytree(release, root)
    sheet = root / "annotations.csv"
    lines = sheet.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("s02,"))
    fields = lines[row].split(",")
    fields[3] = str(int(fields[3]) + 1)
    lines[row] = ",".join(fields)
    sheet.write_text("\n".join(lines) + "\n")
    config = configure(folder, root)
    jobs = planned(folder, config)
    assert jobs["index_subject"] == 1 and jobs["index"] == 1
    first = runs.run(folder, "--until", "index_subject", config=config)  # as docs/cluster.md says
    assert first.status == 0, first.text[-3000:]
    assert not {"faces", "crops", "flow", "motion"} & set(planned(folder, config))
    outcome = runs.run(folder, config=config)
    assert outcome.status == 0, outcome.text[-3000:]
    rules = outcome.rules()
    assert rules["detect"] and not {"faces", "crops", "flow", "motion"} & set(rules)
    assert planned(folder, config) == {}


@pytest.mark.kill
def test_killed_after_the_index_and_a_video_replaced_then(release: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Whatever was read before, the end is what an undisturbed run on the last data gives."""
    root = tmp_path / "release"
    shutil.copytree(release, root)
    folder = runs.copy_run(undisturbed, tmp_path / "run")
    config = configure(folder, root)
    mirror(root / "videos/s02/s02_1.mp4")
    record = folder / "results/index/mine/videos.csv.prov.json"
    before = record.read_bytes()
    run = runs.Running(folder, config=config)
    end = time.monotonic() + 120
    while not record.exists() or record.read_bytes() == before:
        assert time.monotonic() < end and run.process.poll() is None, run.log.read_text()
        time.sleep(0.01)
    run.kill_group()
    run.wait()
    mirror(root / "videos/s03/s03_1.mp4")
    again = runs.run(folder, config=config)
    assert again.status == 0, again.text[-3000:]
    assert planned(folder, config) == {}
    fresh = runs.prepare(tmp_path / "fresh")
    assert runs.run(fresh, config=configure(fresh, root)).status == 0
    assert runs.differing(folder, fresh) == []
