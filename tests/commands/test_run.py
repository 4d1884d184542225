"""`microexp run` and the wheel that it comes in; completion in a shell."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from microexp.commands import main as cli
from microexp.commands import run
from microexp.errors import UserError
from tests.workflow.runs import MINI, ROOT


def command(*words: str) -> list[str]:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    return run.command(parser.parse_args(words))


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_the_run_works_beside_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("")
    for given, folder in (([str(tmp_path)], ROOT), ([str(tmp_path / "config.yaml")], ROOT), ([], tmp_path)):
        monkeypatch.chdir(folder)
        words = command(*given)
        assert after(words, "--snakefile") == str(ROOT / "Snakefile")
        assert after(words, "--directory") == str(tmp_path)
        assert after(words, "--configfile") == str(tmp_path / "config.yaml")
        assert after(words, "--workflow-profile") == str(ROOT / "profiles" / "default")
        assert int(after(words, "--cores")) >= 1


def test_targets_flags_and_options_of_snakemake_are_handed_on(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("")
    words = command(
        str(config), "--target", "a.csv", "b.csv", "-n", "--cores", "3", "--snakemake=-R flow", "--snakemake=-p"
    )
    assert words[words.index("--cores") :] == ["--cores", "3", "--dry-run", "-R", "flow", "-p", "--", "a.csv", "b.csv"]
    assert after(command(str(config), "--directory", str(tmp_path / "x")), "--directory") == str(tmp_path / "x")


def test_an_edited_profile_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    words = command(str(tmp_path), "--profile", "slurm")
    assert after(words, "--workflow-profile") == str(ROOT / "profiles" / "slurm") and "--cores" not in words
    own = tmp_path / "profiles" / "slurm"
    own.mkdir(parents=True)
    (own / "config.yaml").write_text("executor: slurm")
    assert after(command(str(tmp_path), "--profile", "slurm"), "--workflow-profile") == str(own)
    assert after(command(str(tmp_path), "--profile", str(own)), "--workflow-profile") == str(own)
    with pytest.raises(UserError, match="got 'cloud', expected one of default, slurm"):
        command(str(tmp_path), "--profile", "cloud")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file; expected a configuration"):
        command(str(tmp_path))
    (tmp_path / "config.yaml").write_text("")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="Snakemake is not installed"):
        command(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ini", {"init"}),
        ("run --dry", {"--dry-run"}),
        ("flow --out", {"--out-flow"}),
        ("evaluate spotting --ignore", {"--ignore-kinds"}),
        ("evaluate spott", {"spotting"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)
    line = ["microexp", *words.split()]
    quoted = " ".join(f"'{word}'" for word in line)
    ask = f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(line) - 1}; _microexp; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and set(done.stdout.split()) == expected


@pytest.mark.long
def test_a_wheel_runs_the_workflow_without_the_repository(tmp_path: Path) -> None:
    """Built as pip does, installed in an environment of its own, run from elsewhere: the demo's sheet is made."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("src", "workflow", "profiles", "envs", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "Snakefile", "config.yaml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    (installed,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    shutil.unpack_archive(wheel, installed, "zip")
    (installed / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(source)
    python = [str(tmp_path / "env" / "bin" / "python"), "-P"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    where = [*python, "-c", "from microexp.run.workflow import snakefile; print(snakefile())"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == str(installed / "microexp" / "shipped" / "Snakefile"), found.stderr
    work = tmp_path / "work"
    start = [*python, "-m", "microexp", "run", str(MINI), "--directory", str(work), "--cores", "1"]
    done = subprocess.run(
        [*start, "--target", "results/demo/annotations.csv"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work / "results" / "demo" / "annotations.csv.prov.json").is_file()
