"""The profile for SLURM names rules that exist, and gives a GPU to exactly those that use one by default."""

from __future__ import annotations

import re

import yaml

from microexp.pipeline import STAGES
from tests.workflow import runs

PROFILE = runs.ROOT / "profiles/slurm/config.yaml"
RULES = {
    name
    for path in (runs.ROOT / "workflow/rules").glob("*.smk")
    for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.M)
}


def rules_of(gpu: str) -> set[str]:
    return {name.replace("-", "_") for name, stage in STAGES.items() if stage.gpu == gpu}


def test_rules_that_use_a_gpu_ask_for_one() -> None:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    assert set(profile["set-resources"]) == rules_of("always")
    assert all(resources["gpu"] == 1 for resources in profile["set-resources"].values())


def test_rules_with_a_backend_for_gpus_are_there_to_be_switched_on() -> None:
    offered = set(re.findall(r"^  # (\w+): \{gpu: 1", PROFILE.read_text(encoding="utf-8"), re.M))
    assert offered == rules_of("backend")


def test_every_rule_that_the_profile_names_exists() -> None:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    named = {*profile["set-resources"], *profile["slurm-array-jobs"].split(",")}
    assert named <= RULES
