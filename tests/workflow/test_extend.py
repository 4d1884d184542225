"""What it takes to add to the pipeline, counted in files, on a copy of the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from microexp.plan import Plan, parse
from tests.workflow import runs

PARTS = ("Snakefile", "config.yaml", "src", "workflow", "profiles", "envs")
MODULE = """
from microexp.run.storage import write_text


def run(job):
    lines = job.input("sheet").read_text(encoding="utf-8").splitlines()
    write_text(job.output("total"), f"{len(lines) - 1}\\n")
"""
ROW = """
        Stage(
            "count-annotations",
            "microexp.metrics.count_annotations",
            "count the rows of the demo's sheet",
            "run",
            {"sheet": Input("annotations of the demo", "demo-sheet.sheet")},
            {"total": Output("results/annotations.txt", "how many there are")},
        ),
"""
RULE = """
rule count_annotations:
    input:
        **inputs("count-annotations"),
    output:
        **outputs("count-annotations"),
    log:
        "logs/count_annotations.log",
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        **options("count-annotations"),
    shell:
        run_stage("count-annotations")
"""


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every source file below `folder`."""
    files = (p for part in PARTS for p in [folder / part, *(folder / part).rglob("*")] if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if "__pycache__" not in p.parts}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of what runs the workflow."""
    for part in PARTS:
        source = runs.ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / part)
    return tmp_path


@pytest.mark.long
def test_a_stage_is_one_module_one_row_and_one_rule(own: Path, tmp_path: Path) -> None:
    before = snapshot(own)
    (own / "src/microexp/metrics/count_annotations.py").write_text(MODULE)
    table, rules = own / "src/microexp/pipeline.py", own / "workflow/rules/datasets.smk"
    head, demo, rest = table.read_text().partition('        Stage(\n            "demo",')
    table.write_text(head + ROW.lstrip("\n") + demo + rest)
    rules.write_text(rules.read_text() + "\n" + RULE)
    after = snapshot(own)
    assert {name for name in after if after[name] != before.get(name)} == {
        "src/microexp/metrics/count_annotations.py",
        "src/microexp/pipeline.py",
        "workflow/rules/datasets.smk",
    }
    line = [*runs.SNAKEMAKE, "-s", str(own / "Snakefile"), "--configfile", str(runs.MINI), "--cores", "1"]
    work = runs.prepare(tmp_path / "work")
    done = subprocess.run([*line, "results/annotations.txt"], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    sheet = (work / "results/demo/annotations.csv").read_text().splitlines()
    assert int((work / "results/annotations.txt").read_text()) == len(sheet) - 1 > 0
    assert (work / "results/annotations.txt.prov.json").is_file()
    everything = subprocess.run([*line, "-n", "--quiet", "rules"], cwd=work, capture_output=True, text=True)
    assert everything.returncode == 0, everything.stderr[-2000:]
    help_ = subprocess.run(
        [sys.executable, "-P", "-m", "microexp", "--help"], env={"PYTHONPATH": str(own / "src")},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "count-annotations" in help_.stdout and "count the rows of the demo's sheet" in help_.stdout


def test_a_method_from_outside_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_majority.py").write_text(
        "from microexp.methods.recognition.majority import Majority\n\n\nclass Mine(Majority):\n    version = 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    options = yaml.safe_load(runs.MINI.read_text())
    options["recognition"]["demo"]["methods"]["mine"] = {"method": "made_up_majority:Mine"}
    plan = Plan(parse(options, "mini.yaml"), {"demo": ["s01", "s02"]})
    units = [u for u in plan.units("recognition-fold") if u["method"] == "mine"]
    assert [u["fold"] for u in units] == ["demo-s01", "demo-s02"]
    assert '"method_version": 7' in plan.options_for("recognition-fold", units[0])
    assert "results/recognition/demo/mine/demo-s01/predictions.csv" in plan.everything()
