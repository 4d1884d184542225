"""Where a fold stands, on disk and back."""

from __future__ import annotations

import pytest

from microexp.methods import context
from microexp.methods.context import Checkpoint, Context, fingerprint


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    monkeypatch.setattr(context, "EVERY_S", 0.0)


def test_all_of_it_comes_back(tmp_path):
    path = tmp_path / "x.checkpoint"
    first = Checkpoint(path, "key")
    assert not path.exists() and (first.models, first.rows, first.state) == ({}, {}, None)
    Context(0, rows=first.log_of("method.0.inner1")).log(epoch=1, windows=3, loss=0.1 + 0.2, about="é")
    first.finish({"method.0.inner1": b"\0model"})
    first.log_of("method.0.all").append({"zebra": 1, "apple": float("inf")})
    first.keep(lambda: b"half way")
    again = Checkpoint(path, "key")
    assert (again.models, again.state) == ({"method.0.inner1": b"\0model"}, b"half way")
    assert again.rows == first.rows
    assert list(again.rows["method.0.inner1"][0]) == ["epoch", "windows", "loss", "about"]  # the log's columns
    assert list(again.rows["method.0.all"][0]) == ["zebra", "apple"]
    again.finish({"method.0.all": b""})
    last = Checkpoint(path, "key")
    assert last.state is None and set(last.models) == {"method.0.inner1", "method.0.all"}
    last.remove()
    assert not list(tmp_path.iterdir())


def test_one_of_another_key_is_not_used(tmp_path):
    Checkpoint(tmp_path / "c", "key").keep(lambda: b"x")
    other = Checkpoint(tmp_path / "c", "other")
    assert (other.models, other.rows, other.state) == ({}, {}, None)


@pytest.mark.parametrize("content", [b"", b"broken", bytes(5000)])
def test_a_damaged_one_is_told_and_not_used(tmp_path, capsys, content):
    (tmp_path / "c").write_bytes(content)
    assert Checkpoint(tmp_path / "c", "key").state is None
    assert "starting again" in capsys.readouterr().err


def test_states_are_made_only_when_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(context, "EVERY_S", 1e9)
    found = Checkpoint(tmp_path / "c", "key")
    found.keep(lambda: pytest.fail("asked for a state that nobody writes"))
    found.finish({"a": b"1"})
    assert found.models == {"a": b"1"} and not (tmp_path / "c").exists()


def test_everything_counts_in_a_fingerprint():
    assert fingerprint("a", 1, [2]) == fingerprint("a", 1, [2])
    assert len({fingerprint("a", 1), fingerprint("a1"), fingerprint("a", "1"), fingerprint(1, "a")}) == 4
