"""Real runs of the miniature: same bytes with any number of cores, exact re-runs, repairs, bad input."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from microexp.commands.main import main
from microexp.plan import read_plan
from tests.workflow import runs

pytestmark = [pytest.mark.long]

COUNTS = ("true_positives", "predictions", "ground_truths")


def test_one_core_and_two_cores_give_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """All that belongs to one subject, each stage and fold of it, then the tables: computed again on one core.

    The rendered videos have a test of their own.
    """
    again = runs.copy_run(finished, tmp_path / "again")
    targets = runs.forget_subject(again, "s02")
    first = runs.run(again, *targets, cores=1)
    assert first.status == 0, first.text
    assert first.rules().items() >= {
        "index_subject": 1, "faces": 1, "crops": 1, "flow": 1, "motion": 1, "i3d_rgb": 1, "i3d_flow": 1, "apexdiff": 1,
        "spotting_fold": 3, "detect": 3, "recognition_fold": 3,
    }.items()  # fmt: skip
    runs.forget(again, "tables", "report", "report.html")
    outcome = runs.run(again, cores=1)
    assert outcome.status == 0, outcome.text
    assert {"tables", "report", "report_subject"} <= set(outcome.rules())
    assert runs.differing(finished, again) == []


def test_results_are_verified_and_have_provenance(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(finished / "results")]) == 0, capsys.readouterr().out
    assert main(["provenance", str(finished / "results/features/i3d_flow/demo/s01.h5")]) == 0
    text = capsys.readouterr().out
    for part in ("stage: i3d-flow", "clip_frames: 8", "device: cpu", "torch: ", "version: ", "weights:", "s01.h5  "):
        assert part in text
    files = [p for p in (finished / "results").rglob("*") if p.is_file()]
    assert not [p for p in files if str(finished).encode() in p.read_bytes()], "an absolute path in a result"


def test_every_result_is_a_target(finished: Path) -> None:
    """Only then is a file that was deleted made again whatever stands behind it."""
    plan = read_plan(yaml.safe_load(runs.MINI.read_text()), "mini.yaml")
    found = {p.relative_to(finished).as_posix() for p in (finished / "results").rglob("*") if p.is_file()}
    assert set(plan.everything()) == {name for name in found if not name.endswith(".prov.json")}


@pytest.mark.parametrize("matching", ["megc", "one_to_one"])
def test_detections_score_alike_against_the_demo_s_sheet_its_index_and_the_table(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], matching: str
) -> None:
    """With the challenge's file in between, too."""
    results, name, megc = finished / "results", "flow_magnitude", str(tmp_path / "megc.csv")
    folds = sorted(map(str, (results / "spotting/demo" / name).glob("*/detections.csv")))
    assert len(folds) == 3

    def counts(*files: object) -> dict[str, list[int]]:
        assert main(["evaluate", "spotting", *map(str, files), "--matching", matching, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return {k: [found[k][n] for n in COUNTS] for k in ("micro", "macro", "overall")}

    with (results / "tables/spotting_demo.csv").open(newline="") as file:
        table = {row["kind"]: [int(row[n]) for n in COUNTS] for row in csv.DictReader(file) if row["method"] == name}
    sheet, index = results / "demo/annotations.csv", results / "index/demo/expressions.csv"
    inside = counts(*folds, index, "--method", name)
    assert inside["overall"][0] > 0 and inside["overall"][2] == 12
    assert counts(*folds, sheet, "--method", name, "--write-megc", megc) == inside
    assert counts(megc, sheet) == counts(megc, index) == inside
    assert matching == "megc" or table == inside


def test_a_deleted_fold_costs_one_job_and_what_depends_on_it(finished: Path, copy: Path) -> None:
    (copy / "results/recognition/demo/mdml/demo-s02/predictions.csv").unlink()
    outcome = runs.run(copy)
    assert outcome.status == 0, outcome.text
    assert outcome.rules() == {
        "recognition_fold": 1, "tables": 1, "report_subject": 1, "report_list": 2, "report": 1, "complete": 1, "all": 1,
    }  # fmt: skip
    assert runs.differing(finished, copy) == []


def test_damaged_shards_are_named_deleted_and_made_again(
    finished: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, damaged = np.random.default_rng(8), []
    for stage, change in [("features/motion", "flip"), ("apexdiff", "truncate"), ("flow", "flip")]:
        path = copy / f"results/{stage}/demo/s02.h5"
        data = bytearray(path.read_bytes())
        if change == "flip":
            data[rng.integers(len(data))] ^= 16
        else:
            del data[rng.integers(len(data)) :]
        path.write_bytes(bytes(data))
        damaged.append(path)
    leftover = copy / "results/flow/demo/.microexp-tmp-00-s03.h5"
    leftover.write_text("half")
    assert main(["verify", str(copy / "results"), "--delete"]) == 1
    named = capsys.readouterr().out
    assert all(str(path) in named for path in [*damaged, leftover]) and named.count("\n") == 4
    outcome = runs.run(copy)
    assert outcome.status == 0, outcome.text
    assert runs.differing(finished, copy) == []


def test_a_video_without_a_face_is_an_exclusion_and_the_other_results_stand(finished: Path, copy: Path) -> None:
    import av

    from microexp.rendered.video import write_video

    video = copy / "results/demo/videos/s02/s02_1.mp4"
    with av.open(str(finished / "results/demo/videos/s02/s02_1.mp4")) as file:
        count = file.streams.video[0].frames
    rng = np.random.default_rng(0)
    write_video(video, (rng.integers(0, 40, (120, 160, 3), dtype=np.uint8) for _ in range(count)), 30)
    runs.record_anew(video)
    options = yaml.safe_load(runs.MINI.read_text())
    options["demo"]["subjects"] = 4  # so that each fold of spotting has two people left to learn from
    del options["spotting"]["demo"]["methods"]["aemnet"]  # the others see what is excluded just as well
    del options["recognition"]["demo"]["methods"]["mdml"]
    config = copy / "c.yaml"
    config.write_text(yaml.safe_dump(options))
    outcome = runs.run(copy, config=config)
    lines = [line.strip() for line in outcome.text.splitlines() if "microexp: error:" in line]
    assert outcome.status != 0
    assert lines and len(set(lines)) == 1 and "demo/s02/s02_1: excluded: " in lines[0], outcome.text
    assert "Traceback" not in outcome.text
    for name in ("spotting_demo", "recognition_demo"):
        assert "INCOMPLETE" in (copy / f"results/tables/{name}.md").read_text()
    assert not (copy / "results/excluded.csv").exists()
    assert outcome.rules()["demo"] == 1, "the people who were there are not rendered again"
    for name in ("faces", "crops", "flow", "features/motion", "apexdiff"):
        one, other = (f / f"results/{name}/demo/s01.h5" for f in (finished, copy))
        assert one.read_bytes() == other.read_bytes()
    with (copy / "results/tables/spotting_demo.csv").open(newline="") as file:
        rows = {(row["method"], row["kind"]): row for row in csv.DictReader(file)}
    assert float(rows["flow_magnitude", "micro"]["ground_truths"]) == 4 * 3, "what was excluded counts as missed"
    config.write_text(yaml.safe_dump(options | {"allow_exclusions": True}))
    again = runs.run(copy, config=config)
    assert again.status == 0, again.text
    assert set(again.rules()) == {"tables", "report", "complete", "all"}
    assert "s02_1" in (copy / "results/excluded.csv").read_text()


def test_an_empty_sheet_is_one_clear_line(copy: Path) -> None:
    sheet = copy / "results/demo/annotations.csv"
    sheet.write_text("")
    runs.record_anew(sheet)
    (copy / "results/index/demo/videos.csv").unlink()
    outcome = runs.run(copy)
    errors = {line for line in outcome.text.splitlines() if "microexp: error:" in line}
    assert outcome.status != 0
    assert len(errors) == 1 and "annotations.csv" in errors.pop(), outcome.text
    assert (copy / "results/features/i3d_rgb/demo/s01.h5").exists()  # what stood still stands
    assert not list((copy / "results").rglob(".microexp-tmp-*"))


def test_a_missing_weights_file_is_one_clear_line(copy: Path) -> None:
    """Snakemake alone would say that there is nothing to be done, since the features of the old weights are there."""
    config = runs.mini(copy, "c.yaml", [("size_px: 32", "size_px: 32, rgb_weights: nowhere/rgb.pt")])
    outcome = runs.run(copy, config=config)
    errors = [line for line in outcome.text.splitlines() if line.startswith("microexp: error:")]
    assert outcome.status != 0 and len(errors) == 1
    assert "c.yaml: i3d.rgb_weights: got 'nowhere/rgb.pt', expected an existing file" in errors[0]


def test_two_runs_in_one_folder(copy: Path) -> None:
    (copy / "results/recognition/demo/mdml/demo-s02/predictions.csv").unlink()
    first = runs.Running(copy)
    first.wait_for_job()
    second = runs.run(copy)
    errors = [line for line in second.text.splitlines() if line.startswith("microexp: error:")]
    assert second.status != 0 and len(errors) == 1
    assert f"another run in this folder (process {first.process.pid} on " in errors[0]
    assert "Traceback" not in second.text and "LockException" not in second.text
    first.kill_group(signal.SIGSTOP)  # else a result may be replaced between two looks of the dry-run
    looking = runs.run(copy, "-n")
    first.kill_group(signal.SIGCONT)
    assert looking.status == 0, looking.text  # a dry-run is welcome beside a run
    assert first.wait().status == 0


def test_a_changed_row_of_a_sheet_costs_one_subject_and_the_folds(copy: Path) -> None:
    """As docs/cluster.md says: first `--until index_subject`, then the usual command."""
    sheet = copy / "results/demo/annotations.csv"
    lines = sheet.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("s02,"))
    fields = lines[row].split(",")
    fields[3] = str(int(fields[3]) + 1)  # apex
    lines[row] = ",".join(fields)
    sheet.write_text("\n".join(lines) + "\n")
    runs.record_anew(sheet)
    first = runs.run(copy, "--until", "index_subject")
    assert first.status == 0 and set(first.rules()) <= {"index", "index_subject", "all"}, first.text
    jobs = runs.run(copy, "-n", "--quiet", "rules").jobs()
    assert jobs["apexdiff"] == 1 and jobs["recognition_fold"] == 9
    assert not {"faces", "crops", "flow", "i3d_rgb", "i3d_flow", "motion"} & set(jobs)
