"""Checkpoints: what is not as it was written is not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.run import bundle, storage

DATA = np.random.default_rng(0).bytes(3000)


def test_a_checkpoint_comes_back_for_its_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "c"
    assert bundle.load(path, "key") is None
    bundle.save(path, "key", DATA)
    assert bundle.load(path, "key") == DATA
    assert bundle.load(path, "ke") is None and bundle.load(path, "other") is None
    bundle.check(path)


@pytest.mark.long
def test_every_flip_and_every_cut_means_to_start_again_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c"
    bundle.save(path, "key", DATA)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    flips = [bytearray(whole) for _ in range(300)]
    for data, bit in zip(flips, rng.integers(0, len(whole) * 8, 300), strict=True):
        data[bit // 8] ^= 1 << (bit % 8)
    for data in [*map(bytes, flips), *(whole[:n] for n in rng.integers(0, len(whole), 50)), whole + b"\0"]:
        path.write_bytes(data)
        assert bundle.load(path, "key") is None
        assert capsys.readouterr().err == f"microexp: warning: {path}: a damaged checkpoint (SHA-256): starting again\n"
        with pytest.raises(storage.Damaged):
            bundle.check(path)


def test_what_the_system_refuses_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(storage.Unreadable, match="Is a directory"):
        bundle.load(tmp_path, "key")
