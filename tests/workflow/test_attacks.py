"""Files of a finished run, swapped, flipped and robbed of their records: `verify` names each, and goes on."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records.verify import check_folder
from microexp.run import bundle, provenance, shard_files, storage

pytestmark = pytest.mark.long
SEED = 5


@pytest.fixture
def results(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a finished run, which is the working folder."""
    monkeypatch.chdir(copy)
    return Path("results")


def files(results: Path) -> list[Path]:
    """Every result, without the records."""
    found = (p for p in results.rglob("*") if p.is_file() and p.name != "README.md")
    return sorted(p for p in found if not p.name.endswith(provenance.PROVENANCE))


def named(results: Path) -> set[Path]:
    """Files that `verify` names, itself or by their record."""
    return {p.path.with_name(p.path.name.removesuffix(provenance.PROVENANCE)) for p in check_folder(results)}


def swaps(results: Path) -> list[tuple[Path, Path]]:
    """Pairs of files: of two people or folds, of every kind that there is; and of two methods or stages."""
    kinds: dict[str, list[Path]] = {}
    for path in files(results):
        kinds.setdefault(re.sub(r"s0\d", "s", path.as_posix()), []).append(path)
    pairs = [(kind[0], kind[1]) for kind in kinds.values() if len(kind) > 1]
    third: dict[str, list[Path]] = {}
    for kind in kinds.values():
        if len(kind) > 2:
            third.setdefault(kind[2].name, []).append(kind[2])
    return pairs + [pair for same in third.values() for pair in zip(same[::2], same[1::2], strict=False)]


def swap(one: Path, two: Path) -> None:
    for a, b in ((one, two), (provenance.provenance_path(one), provenance.provenance_path(two))):
        first, second = a.read_bytes(), b.read_bytes()
        a.write_bytes(second)
        b.write_bytes(first)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(bytes(data))


def test_a_finished_run_is_intact(results: Path) -> None:
    assert named(results) == set()


def test_swaps_of_every_kind_of_file(results: Path) -> None:
    """With their records; by `verify`, and by whoever reads them."""
    pairs = swaps(results)
    assert len(pairs) >= 40
    for pair in pairs:
        swap(*pair)
    for path in itertools.chain(*pairs):
        with pytest.raises(UserError, match="was moved or swapped"):
            provenance.input_hash(path, anywhere=False)  # as a run's jobs do
    assert named(results) >= set(itertools.chain(*pairs))
    for pair in pairs:
        swap(*pair)
    assert named(results) == set()


def test_flips_in_records_and_in_results(results: Path) -> None:
    rng, every = np.random.default_rng(SEED), files(results)
    chosen = [every[i] for i in rng.permutation(len(every))[:100]]
    for of_record in (True, False):
        touched = [provenance.provenance_path(path) if of_record else path for path in chosen]
        touched = [path for path in touched if path.stat().st_size]
        bits = [int(rng.integers(0, path.stat().st_size * 8)) for path in touched]
        for path, bit in zip(touched, bits, strict=True):
            flip(path, bit)
        assert named(results) >= {p.with_name(p.name.removesuffix(provenance.PROVENANCE)) for p in touched}
        for path, bit in zip(touched, bits, strict=True):
            flip(path, bit)
    assert named(results) == set()


def test_results_without_records_and_records_of_others(results: Path) -> None:
    every = files(results)
    robbed, foreign = every[::4], every[1::4]
    for path in robbed:
        provenance.provenance_path(path).unlink()
    for path, other in itertools.pairwise(foreign):
        provenance.provenance_path(path).write_bytes(provenance.provenance_path(other).read_bytes())
    assert named(results) >= {*robbed, *foreign[:-1]}


def test_flips_in_checkpoints(results: Path) -> None:
    rng = np.random.default_rng(SEED)
    paths = [results / f"spotting/demo/aemnet/x{n}/trained.safetensors{bundle.SUFFIX}" for n in range(300)]
    bundle.save(paths[0], "key", rng.bytes(2000))
    for path in paths[1:]:
        path.parent.mkdir()
        path.write_bytes(paths[0].read_bytes())
    assert named(results) == set()
    for path in paths:
        flip(path, int(rng.integers(0, path.stat().st_size * 8)))
        assert bundle.load(path, "key") is None
    assert named(results) == set(paths)


def test_bursts_of_16_bits_in_a_shard_of_more_than_64_mib(tmp_path: Path) -> None:
    """From 0x0000 to 0xFFFF, which HDF5's checksum cannot tell apart."""
    path = tmp_path / "s01.h5"
    with shard_files.create_shard(path) as file:
        shard_files.add_array(file, "flow", np.random.default_rng(SEED).integers(1, 2**31, (70, 512, 512), np.int32))
    data = bytearray(path.read_bytes())
    assert len(data) > 64 * 2**20
    places = np.random.default_rng(SEED).integers(0, len(data) - 1, 40)
    for place in places:
        data[place : place + 2] = b"\0\0"
    path.write_bytes(bytes(data))
    provenance.write_provenance(path, {"stage": "flow"})
    provenance.input_hash(path)
    for place in places:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"\xff\xff")
            file.flush()
            with pytest.raises(storage.Damaged, match="SHA-256"):
                provenance.input_hash(path)
            file.seek(place)
            file.write(bytes(data[place : place + 2]))
    provenance.input_hash(path)
