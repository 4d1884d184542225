"""What it takes to add to the pipeline, counted in files, on a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from microexp.plan import Plan, parse
from tests.workflow import runs

PARTS = (
    "Snakefile", "config.yaml", "src", "workflow", "profiles", "envs", "tests", "tools", "docs", "pyproject.toml",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "results/README.md",
)  # fmt: skip
RULE = """
rule {rule}:
    input:
        **inputs("{stage}"),
    output:
        **outputs("{stage}"),
    log:
        "logs/{log}.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        **options("{stage}"),
    shell:
        run_stage("{stage}")
"""
COUNT = '''"""Stage `count-annotations`."""

from microexp.run.stage import Job
from microexp.run.storage import write_text


def run(job: Job) -> None:
    """Write how many rows the sheet has."""
    lines = job.input("sheet").read_text(encoding="utf-8").splitlines()
    write_text(job.output("total"), f"{len(lines) - 1}\\n")
'''
COUNT_ROW = """
        Stage(
            "count-annotations",
            "microexp.metrics.count_annotations",
            "count the rows of the demo's sheet",
            "run",
            {"sheet": Input("annotations of the demo", "demo-sheet.sheet")},
            {"total": Output("results/annotations.csv", "how many there are")},
        ),
"""
COUNT_CASE = """
    "count-annotations": Case(
        lambda folder: run("count-annotations", folder, {"sheet": demo_sheet(folder)}, {}),
        ("demo-sheet", "count-annotations"),
    ),
"""
BRIGHTNESS = '''"""Stage `brightness`: how bright the crops are."""

import numpy as np

from microexp.records.crops import open_crops
from microexp.records.features import Layout, create_features
from microexp.run.stage import Job


def run(job: Job) -> None:
    """Write one channel per frame."""
    with (
        open_crops(job.input("crops")) as crops,
        create_features(job.output("features"), "brightness", crops.subject) as out,
    ):
        for name, video in crops.items():
            values = np.asarray(video.frames[:]).mean((1, 2, 3))[:, None].astype(np.float32)
            out.add(name, values, Layout(1, 1, video.fps, ("brightness",)), frame_index=video.frame_index)
'''
BRIGHTNESS_ROW = """
        Stage(
            "brightness",
            "microexp.features.brightness",
            "how bright the crops are",
            "subject",
            {"crops": CROPS},
            {"features": features("brightness")},
        ),
"""
BRIGHTNESS_CASE = """
    "brightness": Case(
        lambda folder: run("brightness", folder, {"crops": [crops_in(folder, 4)]}, {}), ("brightness",)
    ),
"""
BRIGHTNESS_METHOD = """
from microexp.methods.spotting.random_intervals import RandomIntervals


class Mine(RandomIntervals):
    def streams(self, options):
        return ("brightness",)
"""
ADAPTER = '''"""A made-up release: folders of frames, and a table of rows without a header."""

from pathlib import Path

from microexp.reading.release import Adapter, Found, Release, Row


def find_sheets(release: Release) -> list[Path]:
    """The table."""
    return [release.root / "rows.txt"]


def find_videos(release: Release) -> list[Found]:
    """Folders `SUBJECT/VIDEO`."""
    return [Found(p.parent.name, p.name, p) for p in sorted(release.root.glob("*/*")) if p.is_dir()]


def read_rows(release: Release) -> list[Row]:
    """Subject, video, onset, apex, offset."""
    lines = [line.split() for line in find_sheets(release)[0].read_text().splitlines()]
    return [Row("rows.txt", n, *line, "micro", "happiness", "12") for n, line in enumerate(lines, 1)]


ADAPTER = Adapter(find_sheets, find_videos, read_rows, lambda release: {("videos", ""): 1}, lambda release: 25.0)
'''
BIBTEX = "@article{made_up, author={Nobody}, title={A Made-Up Release}, journal={None}, year={2026}}\n"
OUTSIDE = {
    "made_up_spotting": "from microexp.methods.spotting.random_intervals import RandomIntervals as Base",
    "made_up_recognition": "from microexp.methods.recognition.majority import Majority as Base",
}
"""Methods of somebody else: module -> where it takes its class from."""


# --- a copy, and what was touched in it -------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every source file below `folder`."""
    files = (p for part in PARTS for p in [folder / part, *(folder / part).rglob("*")] if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if "__pycache__" not in p.parts}


class Copy:
    """A copy of the repository that a recipe is followed in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skip = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        for part in PARTS:
            source, target = runs.ROOT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=skip)
            else:
                shutil.copy(source, target)
        self.before = snapshot(folder)

    def add(self, path: str, text: str) -> None:
        """Append `text` to a file, or make it."""
        target = self.folder / path
        before = target.read_text(encoding="utf-8").rstrip("\n") + "\n" if target.exists() else ""
        target.write_text(before + text.lstrip("\n"), encoding="utf-8")

    def insert(self, path: str, text: str, before: str) -> None:
        """Put `text` before the one place that says `before`."""
        target = self.folder / path
        whole = target.read_text(encoding="utf-8")
        assert whole.count(before) == 1, (path, before)
        target.write_text(whole.replace(before, text.lstrip("\n") + before), encoding="utf-8")

    def python(self, *arguments: str, **environment: str) -> str:
        """What Python prints with the sources of the copy; it must end well."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
        done = subprocess.run(
            [sys.executable, "-P", *arguments], cwd=self.folder, capture_output=True, text=True,
            env={**clean, "PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def tool(self, name: str, *arguments: str) -> str:
        """What a tool of the copy prints."""
        return self.python(str(self.folder / "tools" / name), *arguments)

    def touched(self) -> set[str]:
        """Files that differ from before."""
        after = snapshot(self.folder)
        return {name for name in after if after[name] != self.before.get(name)}

    def followed(self, title: str, **names: str) -> None:
        """What was touched is what the recipe lists: all of it, and nothing but that."""
        needed, special = recipe(title, **names)
        touched = self.touched()
        assert touched - needed <= special, touched - needed - special
        assert needed - touched == set()


def recipe(title: str, **names: str) -> tuple[set[str], set[str]]:
    """Files of a recipe of CONTRIBUTING: those that it always touches, and those of special cases."""
    text = (runs.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^\*\*{title}\b.*?(?=^\*\*|^## )", text, re.S | re.M)
    found: tuple[set[str], set[str]] = set(), set()
    for item in re.findall(r"^\d+\. (.*?)(?=^\d+\. |\n\n)", section, re.S | re.M):
        files, _, about = " ".join(item.split()).partition(":")
        for path in re.findall(r"`([^`]+)`", files):
            for key, value in names.items():
                path = path.replace(key, value)
            found[bool(re.search(r"\bonly\b", about))].add(path)
    assert found[0]
    return found


@pytest.fixture
def own(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


def snakemake(own: Copy, work: Path, config: Path, *arguments: str) -> str:
    """What the copy's workflow prints in the folder `work`."""
    line = [*runs.SNAKEMAKE, "-s", str(own.folder / "Snakefile"), "--configfile", str(config), "--cores", "1"]
    done = subprocess.run([*line, *arguments], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def write_hand_made(own: Copy, paths: Sequence[str]) -> None:
    """What people write beside code: a line each."""
    for path in paths:
        own.add(
            path, "\nMade up.\n" if path.endswith(".md") else "\n\ndef test_made_up() -> None:\n    assert 1 + 1 == 2\n"
        )


# --- the recipes ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_stage_is_one_module_one_row_and_one_rule_and_the_rest_of_its_recipe(own: Copy, tmp_path: Path) -> None:
    own.add("src/microexp/metrics/count_annotations.py", COUNT)
    own.insert("src/microexp/pipeline.py", COUNT_ROW, '        Stage(\n            "demo",')
    own.add("workflow/rules/datasets.smk", "\n\n" + RULE.format(
        rule="count_annotations", stage="count-annotations", log="count_annotations"
    ).lstrip("\n"))  # fmt: skip
    assert own.touched() == {
        "src/microexp/metrics/count_annotations.py",
        "src/microexp/pipeline.py",
        "workflow/rules/datasets.smk",
    }
    work = runs.prepare(tmp_path / "work")
    snakemake(own, work, runs.MINI, "results/annotations.csv")
    sheet = (work / "results/demo/annotations.csv").read_text().splitlines()
    assert int((work / "results/annotations.csv").read_text()) == len(sheet) - 1 > 0
    assert (work / "results/annotations.csv.prov.json").is_file()
    snakemake(own, work, runs.MINI, "-n", "--quiet", "rules")
    help_ = own.python("-m", "microexp", "--help")
    assert "count-annotations" in help_ and "count the rows of the demo's sheet" in help_
    own.insert("tests/workflow/versions.py", COUNT_CASE, '    "complete": Case(complete, ("complete",)),')
    write_hand_made(own, ["tests/metrics/test_count_annotations.py"])
    own.tool("docs_pages.py")
    assert "no stored values" in own.tool("store_values.py", "count-annotations")
    assert "count-annotations: as stored" in own.tool("store_values.py", "--check", "count-annotations")
    own.followed("A stage", PACKAGE="metrics", NAME="count_annotations", **{"*.smk": "datasets.smk"})


@pytest.mark.long
def test_a_stream_touches_what_the_recipe_lists(own: Copy, tmp_path: Path) -> None:
    own.add("src/microexp/features/brightness.py", BRIGHTNESS)
    own.insert("src/microexp/pipeline.py", BRIGHTNESS_ROW, '        Stage(\n            "given",')
    own.insert("src/microexp/pipeline.py", '"brightness", ', '"given")\n"""Streams')
    own.add("workflow/rules/features.smk", RULE.format(
        rule="brightness", stage="brightness", log="brightness/{dataset}/{subject}"
    ))  # fmt: skip
    own.insert(
        "src/microexp/methods/spotting/aemnet/params.py", '"brightness", ', '"i3d_rgb", "i3d_flow", "motion", "given"]'
    )
    own.insert("tests/workflow/versions.py", BRIGHTNESS_CASE, '    "complete": Case(complete, ("complete",)),')
    write_hand_made(own, ["tests/features/test_brightness.py", "docs/spotting.md", "CHANGELOG.md"])
    own.tool("docs_pages.py")
    assert "no stored values" in own.tool("store_values.py", "brightness")  # it runs on a tiny input
    assert "brightness: as stored" in own.tool("store_values.py", "--check", "brightness")
    own.followed("A stream", NAME="brightness")
    work = runs.prepare(tmp_path / "work")
    (work / "made_up_stream.py").write_text(BRIGHTNESS_METHOD)
    options = yaml.safe_load(runs.MINI.read_text())
    options["spotting"]["demo"]["methods"] = {"mine": {"method": "made_up_stream:Mine"}}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(options))
    planned = snakemake(own, work, tmp_path / "mini.yaml", "-n")
    assert "results/features/brightness/demo/s01.h5" in planned and "results/features/i3d" not in planned


@pytest.mark.long
def test_a_data_set_touches_what_the_recipe_lists(own: Copy, tmp_path: Path) -> None:
    own.add("src/microexp/datasets/made_up.py", ADAPTER)
    own.insert("src/microexp/datasets/index.py", '    "made_up": "microexp.datasets.made_up",\n', '    "folder": ')
    own.add("src/microexp/report/references.bib", BIBTEX)
    write_hand_made(
        own, ["tests/datasets/releases.py", "tests/datasets/test_adapters.py", "docs/datasets.md", "CHANGELOG.md"]
    )
    own.tool("docs_pages.py")
    own.followed("A data set", NAME="made_up")
    frames = tmp_path / "release/anna/one"
    frames.mkdir(parents=True)
    for n in range(1, 9):
        cv2.imwrite(str(frames / f"{n}.png"), np.full((48, 64, 3), 20 * n, np.uint8))
    (tmp_path / "release/rows.txt").write_text("anna one 2 4 7\n")
    (own.folder / "mine.yaml").write_text(
        yaml.safe_dump({"datasets": {"made_up": {"root": str(tmp_path / "release")}}})
    )
    said = own.python("-m", "microexp", "check", "mine.yaml")
    assert "made_up" in said and re.search(r"^\s*videos\b.*\b1\b", said, re.M), said


@pytest.mark.long
@pytest.mark.parametrize(("kind", "source", "base"), [
    ("spotting", "random_intervals", "RandomIntervals"), ("recognition", "majority", "Majority"),
])  # fmt: skip
def test_a_shipped_method_touches_what_the_recipe_lists(own: Copy, kind: str, source: str, base: str) -> None:
    text = (own.folder / f"src/microexp/methods/{kind}/{source}.py").read_text(encoding="utf-8")
    own.add(f"src/microexp/methods/{kind}/made_up.py", text.replace(f"class {base}(", "class MadeUp("))
    line = f'        "made_up": "microexp.methods.{kind}.made_up:MadeUp",\n'
    own.insert("src/microexp/methods/find.py", line, f'        "{source}": ')
    write_hand_made(own, [f"tests/methods/{kind}/test_made_up.py", f"docs/{kind}.md", "CHANGELOG.md"])
    own.tool("docs_pages.py")
    own.tool("store_values.py", f"{kind}-fold made_up")
    assert "as stored" in own.tool("store_values.py", "--check", f"{kind}-fold made_up")
    own.followed("A method", NAME="made_up", **{"{spotting,recognition}": kind})
    own.python("-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/methods/{kind}/test_fold.py", "-k",
               "made_up and held_out", "-m", "not long")  # fmt: skip


def test_methods_from_outside_touch_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(runs.ROOT)
    monkeypatch.syspath_prepend(str(tmp_path))
    options = yaml.safe_load(runs.MINI.read_text())
    for module, base in OUTSIDE.items():
        (tmp_path / f"{module}.py").write_text(f"{base}\n\n\nclass Mine(Base):\n    version = 7\n")
        options[module.removeprefix("made_up_")]["demo"]["methods"]["mine"] = {"method": f"{module}:Mine"}
    plan = Plan(parse(options, "mini.yaml"), {"demo": ["s01", "s02"]})
    for kind in ("spotting", "recognition"):
        units = [u for u in plan.units(f"{kind}-fold") if u["method"] == "mine"]
        assert [u["fold"] for u in units] == ["demo-s01", "demo-s02"]
        assert '"method_version": 7' in plan.options_for(f"{kind}-fold", units[0])
    made = plan.everything()
    assert "results/recognition/demo/mine/demo-s01/predictions.csv" in made
    assert "results/spotting/demo/mine/demo-s01/detections.csv" in made
    assert snapshot(runs.ROOT) == before


def test_every_recipe_names_files_that_are_there() -> None:
    """Placeholders apart."""
    for title in ("A method", "A stage", "A stream", "A data set"):
        for path in set.union(*recipe(title)):
            if not re.search(r"NAME|PACKAGE|FILE|[{*]", path):
                assert (runs.ROOT / path).is_file(), path
