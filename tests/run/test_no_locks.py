"""On a file system that refuses locks everything works as elsewhere, and nothing is called damaged or deleted."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microexp.run import devices, provenance, shard_files, storage
from tests import no_locks

REFUSED = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX)"


FIRST, *OTHERS = no_locks.ERRNOS
each_number = pytest.mark.parametrize("number", [FIRST, *(pytest.param(n, marks=pytest.mark.long) for n in OTHERS)])

EACH = """
import fcntl, sys
for n in range(6):
    try:
        fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX)
    except OSError as error:
        print(error.errno)
"""


def test_the_stub_refuses_with_one_number_after_the_other(tmp_path: Path) -> None:
    """So that one run meets all of them."""
    environment = no_locks.environment(tmp_path, *no_locks.ERRNOS)
    done = subprocess.run([sys.executable, "-c", EACH, str(tmp_path / "x")], env=environment, capture_output=True)
    numbers = [int(n) for n in done.stdout.split()]
    assert numbers[:3] == numbers[3:] and sorted(numbers[:3]) == sorted(no_locks.ERRNOS)


def shards(folder: Path, count: int = 4) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / "results" / "other" / f"s{number}.h5"
        with shard_files.create_shard(path) as shard:
            shard_files.add_array(shard, "flow", rng.integers(-9, 9, (5, 8, 8, 2)).astype(np.int16))
        provenance.write_provenance(path, {"stage": "other"})
    return {p.name: p.read_bytes() for p in (folder / "results/other").iterdir()}


@each_number
def test_verify_finds_intact_shards_intact_and_deletes_nothing(tmp_path: Path, number: int) -> None:
    environment = no_locks.environment(tmp_path, number)
    refused = subprocess.run([sys.executable, "-c", REFUSED, str(tmp_path / "x")], env=environment, capture_output=True)
    assert refused.returncode != 0, "the stub does not work"
    before = shards(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / ".snakemake/microexp-run.lock").write_text("here 1\n")
    leftover = tmp_path / "results/other/.microexp-tmp-012345-s9.h5"
    leftover.write_text("half")
    command = [sys.executable, "-P", "-m", "microexp", "verify", "results", "--delete"]
    done = subprocess.run(command, cwd=tmp_path, env=with_source(environment), capture_output=True, text=True)
    assert done.stdout == "results/other/.microexp-tmp-012345-s9.h5: a temporary file, left by a job that was killed\n"
    assert "kept results/other/.microexp-tmp-012345-s9.h5: without locks nobody can tell" in done.stderr
    leftover.unlink()
    done = subprocess.run(command, cwd=tmp_path, env=with_source(environment), capture_output=True, text=True)
    assert done.returncode == 0 and "all files are intact" in done.stderr, done.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "results/other").iterdir()} == before


@pytest.mark.long
@each_number
def test_shards_are_read_and_damage_is_still_damage(tmp_path: Path, number: int) -> None:
    environment = no_locks.environment(tmp_path, number)
    shards(tmp_path, 2)
    path = tmp_path / "results/other/s1.h5"
    path.write_bytes(path.read_bytes()[:-1])
    code = "import sys; from microexp.run import shard_files\n"
    code += "with shard_files.open_shard(sys.argv[1]) as f: print(f['flow'].shape)"
    done = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"results/other/s{n}.h5")], env=with_source(environment),
            capture_output=True, text=True,
        )
        for n in (0, 1)
    ]  # fmt: skip
    assert done[0].stdout == "(5, 8, 8, 2)\n"
    assert "Damaged" in done[1].stderr and "was written with" in done[1].stderr


def with_source(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "PYTHONPATH": str(Path(storage.__file__).parents[2])}


def test_gpus_are_taken_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a warning: then only Snakemake's count keeps jobs apart."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with devices.claim(1, {"CUDA_VISIBLE_DEVICES": "3,5"}, tmp_path) as held:
        assert len(held) == 1 and held[0] in ("3", "5")
    assert "no lock" in capsys.readouterr().err
