"""What would be run, seen by dry-runs: folds by name, changed options, profiles, configuration errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from microexp.pipeline import STAGES
from microexp.plan import read_plan
from tests.datasets import releases
from tests.workflow import runs

pytestmark = [pytest.mark.long]

PLAN = read_plan(yaml.safe_load(runs.MINI.read_text()), "mini.yaml")
"""The plan of the miniature."""


def readers() -> dict[str, set[str]]:
    """Rule -> rules that read what it makes, from the table of stages; lists only pass on what they list."""
    used = [stage for stage in STAGES.values() if stage.name != "weights" and any(True for _ in PLAN.units(stage.name))]
    found: dict[str, set[str]] = {stage.rule: set() for stage in used}
    for stage in used:
        for writer in (w for item in stage.inputs.values() for w in item.writers):
            rule = STAGES[writer].rule
            if rule != "shards" and rule in found:
                found[rule].add(stage.rule)
    return found


AFTER = readers()


def downstream(*rules: str) -> set[str]:
    """The rules and all that depend on them."""
    found, queue = set[str](), list(rules)
    while queue:
        rule = queue.pop()
        if rule not in found:
            found.add(rule)
            queue.extend(AFTER[rule])
    return found


CHANGES = [
    # text in the configuration, its replacement, the rules that read it
    ("micro: 3", "micro: 2", ("demo_sheet", "demo")),
    ("width: 160", "width: 192", ("demo",)),
    ("demo: {adapter: demo}", "demo: {adapter: demo, apex_missing: flow}", ("index", "index_subject")),
    ("crops: {size: 48}", "crops: {size: 56}", ("crops",)),
    ("crops: {size: 48}", "crops: {size: 48}\nfaces: {backend: face_alignment}", ("faces",)),
    ("preset: opencv", "preset: micro", ("flow",)),
    ("apexdiff: {size: 28}", "apexdiff: {size: 24}", ("apexdiff",)),
    ("size_px: 32", "size_px: 40", ("i3d_rgb", "i3d_flow")),
    ("size_px: 32", "size_px: 32, flow_bound_px: 3", ("i3d_flow",)),
    ("epochs: 2\n        warmup", "epochs: 3\n        warmup", ("spotting_fold",)),
    ("calibrate: held_out", "calibrate: held_out, overlap_iou: 0.3", ("detect",)),
    ("mdml: {epochs: 2", "mdml: {epochs: 3", ("recognition_fold",)),
    ("bootstrap: 50", "bootstrap: 51", ("tables",)),
    ("seed: 3", "seed: 3\nreport: {title: mine}", ("report", "report_subject")),
    ("seed: 3", "seed: 3\nallow_exclusions: true", ("complete", "tables")),
]


@pytest.mark.parametrize(("old", "new", "readers"), CHANGES)
def test_one_changed_option_re_runs_the_stages_that_read_it_and_what_depends_on_them(
    finished: Path, tmp_path: Path, old: str, new: str, readers: tuple[str, ...]
) -> None:
    outcome = runs.run(finished, "-n", "--quiet", "rules", config=runs.mini(tmp_path, "c.yaml", [(old, new)]))
    assert outcome.status == 0, outcome.text
    assert set(outcome.jobs()) == downstream(*readers), outcome.text


def test_a_changed_option_of_one_method_re_runs_that_method_alone(finished: Path, tmp_path: Path) -> None:
    for old, new, rule, method in (
        ("epochs: 2\n        warmup", "epochs: 3\n        warmup", "spotting_fold", "aemnet"),
        ("mdml: {epochs: 2", "mdml: {epochs: 3", "recognition_fold", "mdml"),
    ):
        outcome = runs.run(finished, "-n", config=runs.mini(tmp_path, "c.yaml", [(old, new)]))
        started = [name for name in outcome.started() if "/trained.safetensors" in name]
        assert outcome.jobs()[rule] == 3 == len(started) and all(f"/{method}/" in name for name in started), (
            outcome.text
        )


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    outcome = runs.run(finished)
    assert outcome.status == 0 and "Nothing to be done" in outcome.text
    assert outcome.rules() == {}


def test_a_single_fold_by_target_name(tmp_path: Path, finished: Path) -> None:
    target = "results/recognition/demo/mdml/demo-s01/predictions.csv"
    jobs = runs.run(runs.prepare(tmp_path / "new"), target, "-n", "--quiet", "rules").jobs()
    assert jobs == {
        "demo": 3, "demo_sheet": 1, "index_subject": 3, "faces": 3, "crops": 3, "apexdiff": 3, "shards": 1,
        "recognition_fold": 1,
    }  # fmt: skip
    assert runs.run(finished, target, "-f", "-n", "--quiet", "rules").jobs() == {"recognition_fold": 1}


def test_a_fold_that_does_not_exist_is_refused(finished: Path) -> None:
    outcome = runs.run(finished, "-n", "results/recognition/demo/mdml/demo-s99/predictions.csv")
    assert outcome.status != 0 and "MissingRuleException" in outcome.text


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("size: 48", "sise: 48", "c.yaml: crops.sise: an unknown option (did you mean 'size'?)"),
        ("size: 48", "size: 4", "c.yaml: crops.size: got 4, expected a value greater than or equal to 16"),
        ("[demo]", "[dem]", "c.yaml: spotting.demo.datasets: got 'dem', expected one of datasets: demo"),
        ("{adapter: demo}", "{adapter: casme2}", "datasets.demo.root: expected the folder of the release on disk"),
        ("{adapter: demo}", "{adapter: casme2, root: /no}", "/no: datasets.demo.root: no such folder"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(finished: Path, tmp_path: Path, old: str, new: str, line: str) -> None:
    outcome = runs.run(finished, "-n", config=runs.mini(tmp_path, "c.yaml", [(old, new)]))
    errors = [text for text in outcome.text.splitlines() if text.startswith("microexp: error:")]
    assert outcome.status != 0
    assert len(errors) == 1 and line in errors[0], outcome.text
    assert "Traceback" not in outcome.text


BACKENDS = [
    # replacement of "preset: opencv" in the configuration, the rules that then use a GPU besides those that always do
    ("preset: opencv", set[str]()),
    ("preset: micro, backend: torch", {"flow", "apexdiff"}),
    ("preset: opencv}\nfaces: {backend: face_alignment", {"faces"}),
]


def asked_gpus(outcome: runs.Outcome) -> dict[str, str]:
    """Rule -> most GPUs that one of its jobs of a dry-run asks for ("0" also where they say nothing).

    Jobs of a rule differ: of the methods only networks use a GPU.
    """
    found: dict[str, str] = {}
    jobs = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", outcome.text, re.M)
    for rule, resources in jobs:
        gpu = re.search(r"\bgpu=(\d)", resources)
        found[rule] = max(found.get(rule, "0"), gpu[1] if gpu else "0")
    return found


@pytest.mark.parametrize("visible", ["", "0,1"])
@pytest.mark.parametrize(("flow", "added"), BACKENDS)
def test_rules_ask_for_a_gpu_of_this_machine_only_if_they_use_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, flow: str, added: set[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    config = runs.mini(tmp_path, "c.yaml", [("preset: opencv", flow)])
    outcome = runs.run(runs.prepare(tmp_path / "new"), "-n", config=config)
    assert outcome.status == 0, outcome.text
    asked = asked_gpus(outcome)
    assert {rule for rule, gpus in asked.items() if gpus == "1"} == (
        {"i3d_rgb", "i3d_flow", "spotting_fold", "recognition_fold"} | added if visible else set()
    )
    assert asked["crops"] == asked["all"] == "0"


@pytest.mark.parametrize("visible", ["", "0"])
def test_gpu_rules_ask_slurm_for_a_gpu_and_cpu_rules_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    """Whether or not the machine that submits has one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    profile = ("--workflow-profile", str(runs.ROOT / "profiles" / "slurm"))
    outcome = runs.run(runs.prepare(tmp_path / "new"), "-n", *profile)
    assert {rule for rule, gpus in asked_gpus(outcome).items() if gpus == "1"} == {
        "i3d_rgb",
        "i3d_flow",
        "spotting_fold",
        "recognition_fold",
    }
    jobs = dict(re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", outcome.text, re.M))
    for rule in jobs.keys() - {"all", "weights", "shards", "report_list", "complete"}:
        assert re.search(r"mem_mb=\d+", jobs[rule]) and re.search(r"runtime=\d+", jobs[rule]), rule


def test_with_hundreds_of_subjects_no_command_is_too_long(tmp_path: Path) -> None:
    """Linux takes 128 KiB in one argument, and a whole command is one: that of 500 subjects has to fit."""
    config = runs.mini(tmp_path, "c.yaml", [("subjects: 3, seconds: 6", "subjects: 200, seconds: 9")])
    text = runs.run(runs.prepare(tmp_path / "new"), "-n", "-p", config=config).text
    found = [(len(line), stage) for line in text.splitlines() for stage in re.findall("-m microexp ([a-z0-9-]+)", line)]
    assert {"tables", "report", "complete", "shards"} <= {stage for _, stage in found}
    assert max(found) < (128 * 1024 * 200 / 500,), max(found)


def test_a_release_on_disk_is_indexed_and_planned(tmp_path: Path) -> None:
    releases.casme2(tmp_path / "CASME2")
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"datasets:\n  casme2: {{root: '{tmp_path / 'CASME2'}'}}\n"
        "recognition:\n  mine:\n    datasets: [casme2]\n    classes: {happy: [happiness], other: [disgust, others]}\n"
    )
    folder = runs.prepare(tmp_path / "run")
    indexed = runs.run(folder, "--until", "index_subject", config=config)
    assert indexed.status == 0, indexed.text
    subjects = [p.parent.name for p in sorted(folder.glob("results/index/casme2/subjects/*/expressions.csv"))]
    assert subjects
    jobs = runs.run(folder, "-n", "--quiet", "rules", config=config).jobs()
    assert jobs == {
        **dict.fromkeys(("faces", "crops", "apexdiff", "report_subject"), len(subjects)),
        "recognition_fold": 3 * len(subjects),
        **dict.fromkeys(("index", "shards", "tables", "report", "complete"), 1),
        "report_list": 8,
    }
    next((tmp_path / "CASME2/CASME2_RAW_selected/sub01/EP02_01f").iterdir()).unlink()
    assert runs.run(folder, "-n", "--quiet", "rules", config=config).jobs()["index_subject"] == 1


def test_every_stage_has_one_rule_whose_files_and_options_come_from_the_table() -> None:
    text = "".join(file.read_text() for file in (runs.ROOT / "workflow/rules").glob("*.smk"))
    for stage in STAGES.values():
        (rule,) = re.findall(rf"^rule {stage.rule}:\n(.*?)(?=^rule |\Z)", text, re.M | re.S)
        for part in ("inputs", "outputs", "options", "run_stage"):
            assert f'{part}("{stage.name}")' in rule, (stage.name, part)
        assert ('gpu=gpus("' in rule) == (stage.gpu != "never")
    assert text.count("\nrule ") == len(STAGES)


def test_every_job_keeps_the_log_of_the_attempt_before(finished: Path) -> None:
    text = runs.run(finished, "-n", "-p", "-F").text
    assert text.count("; logged logs/") == text.count(" python -P -m microexp ") > 60


def test_the_workflow_passes_snakemakes_own_checks() -> None:
    outcome = runs.run(runs.ROOT, "--lint", config=runs.ROOT / "config.yaml")
    assert outcome.status == 0, outcome.text
