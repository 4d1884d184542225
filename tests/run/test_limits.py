"""Files of others that are far too large are refused before they are read."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from microexp.errors import UserError
from microexp.features.given import read_series
from microexp.features.i3d_load import read_state
from microexp.run import bundle
from microexp.run.storage import MODEL_BYTES, SERIES_BYTES, check_size


def sparse(path: Path, size: int) -> Path:
    """A file of so many bytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("name", ["x.npz", "x.csv", "x.safetensors", "x.pt"])
def test_large_files_are_refused_unread(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sparse(tmp_path / name, max(MODEL_BYTES, SERIES_BYTES) + 1)
    for name_of_reader in ("read_bytes", "open"):
        monkeypatch.setattr(Path, name_of_reader, lambda *_: pytest.fail("read"))
    readers = {".npz": lambda: read_series(path, None), ".csv": lambda: read_series(path, None)}
    readers |= {".safetensors": lambda: bundle.read(path), ".pt": lambda: read_state(path, None)}
    with pytest.raises(UserError, match=rf"{name}: \d+ bytes; expected .* of at most \d+ bytes"):
        readers[path.suffix]()


@pytest.mark.parametrize("start", [b"", b"\xff" * 8, save({"a": np.ones(2)}), save({"a": np.ones(2)}, {"name": "x"})])
def test_a_model_of_somebody_else_is_refused_by_its_header(tmp_path: Path, start: bytes) -> None:
    """Whatever its size, it costs no memory."""
    path = sparse(tmp_path / "x.safetensors", MODEL_BYTES)
    with path.open("r+b") as file:
        file.write(start)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"x\.safetensors: not readable"):
            bundle.read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_archives_count_as_what_they_unpack_to(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(100_000))
    assert path.stat().st_size < 1000
    check_size(path, 100_000, "a series")
    with pytest.raises(UserError, match=r"x\.npz: 100000 bytes; expected a series of at most 99999 bytes"):
        check_size(path, 99_999, "a series")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pt: No such file or directory; expected weights"):
        check_size(tmp_path / "none.pt", 1, "weights")
