"""What lies in the working folder, or imports our rules, does not get into our jobs, and we not into its rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow import runs

IMPORTER = """
configfile: {config!r}
module ours:
    snakefile: {snakefile!r}
    config: config
use rule * from ours as ours_*
rule mine:
    output: "mine.txt"
    shell: 'echo "path=$PYTHONPATH run=${{{{MICROEXP_RUN-}}}} safe=${{{{PYTHONSAFEPATH-}}}}" > {{output}}'
"""


def snakemake(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [*runs.SNAKEMAKE, "--cores", "1", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.long
def test_another_snakefile_may_take_in_our_rules(tmp_path: Path) -> None:
    """Ours run with our package and interpreter; its own keep their surroundings."""
    text = IMPORTER.format(config=str(runs.MINI), snakefile=str(runs.ROOT / "Snakefile"))
    (tmp_path / "Snakefile").write_text(text)
    done = snakemake(tmp_path, "mine.txt", "results/demo/annotations.csv", PYTHONPATH="/of/the/user")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mine.txt").read_text() == "path=/of/the/user run= safe=\n"
    assert (tmp_path / "results/demo/annotations.csv.prov.json").exists()


@pytest.mark.long
def test_code_in_the_working_folder_is_not_run(tmp_path: Path) -> None:
    """A package of our name, one of a library's name, and what Python loads at its start."""
    trap = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"
    for name in ("microexp/__init__.py", "numpy/__init__.py", "sitecustomize.py", "usercustomize.py", "yaml.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(trap)
    command = [str(Path(sys.executable).with_name("snakemake")), "-s", str(runs.ROOT / "Snakefile")]
    command += ["--configfile", str(runs.MINI), "--directory", str(tmp_path), "--cores", "1"]
    done = subprocess.run(
        [*command, "results/demo/annotations.csv"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("ran")), "code of the working folder was run"


def test_settings_of_numba_in_the_working_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from microexp.run import compiled

    monkeypatch.chdir(tmp_path)
    (tmp_path / compiled.SETTINGS).write_text("disable_jit: 1\n")
    compiled.can_keep.cache_clear()
    try:
        with pytest.raises(compiled.UserError, match="settings of numba"):
            compiled.can_keep()
    finally:
        compiled.can_keep.cache_clear()


@pytest.mark.long
@pytest.mark.parametrize("temporary", [True, False])
def test_a_clone_that_cannot_be_written_without_a_home_still_works(tmp_path: Path, temporary: bool) -> None:
    """As in a container with a read-only image: numba finds no folder for compiled code, perhaps none at all."""
    clone = tmp_path / "clone"
    shutil.copytree(runs.ROOT / "src", clone, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [clone, *(p for p in clone.rglob("*") if p.is_dir())]:
        (folder / "__pycache__").write_text("a file in the way")
    place = tmp_path / "tmp"
    place.mkdir() if temporary else place.write_text("a file in the way")
    environment = {"PYTHONPATH": str(clone), "HOME": "/dev/null", "TMPDIR": str(place), "PATH": os.environ["PATH"]}
    code = "import tempfile, sys; tempfile.tempdir = sys.argv[1]; from microexp.run import compiled; "
    code += "from microexp.run.log import to_stderr; to_stderr(); "  # as every command does
    code += "import microexp.flow.kernels, microexp.rendered.kernels; print(compiled.can_keep())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(place)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{temporary}\n"
    assert ("no folder where compiled code can be kept" in done.stderr) != temporary
