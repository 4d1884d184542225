"""`proposals.h5`."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records.proposals import CALIBRATION, METHOD, PERMUTED, TEST, Proposals, read_proposals, write_proposals
from microexp.run.shard_files import create_shard

ABOUT = {"experiment": "e", "method": "m", "fold": "d-s1"}


def some(role=TEST, kind="micro", count=3, variant=METHOD, seed=0, video="v.1"):
    rng = np.random.default_rng(count)
    return Proposals(
        variant, seed, role, ("d", "s1", video), kind, rng.random((count, 2)) * 100, rng.normal(size=count)
    )


def as_row(item):
    return item.variant, item.seed, item.role, item.key, item.kind, item.intervals.tolist(), item.scores.tolist()


def test_proposals_survive_a_round_trip_to_the_last_digit(tmp_path):
    items = [
        some(TEST, "micro"), some(TEST, "macro", 5000), some(CALIBRATION, "micro", 0), some(variant=PERMUTED, seed=11),
        some(video="a_b", kind="macro", count=1),
    ]  # fmt: skip
    write_proposals(tmp_path / "p.h5", items, ABOUT)
    found = read_proposals(tmp_path / "p.h5")
    assert sorted(map(as_row, found)) == sorted(map(as_row, items))
    assert all(f.intervals.shape == (len(f.scores), 2) for f in found)
    with h5py.File(tmp_path / "p.h5") as file:
        assert {n: file.attrs[n] for n in ABOUT} == ABOUT


def test_the_order_is_that_of_names_and_the_bytes_are_the_same(tmp_path):
    items = [some(kind=k, video=v) for v in "cab" for k in ("micro", "macro")]
    write_proposals(tmp_path / "p.h5", items, ABOUT)
    found = read_proposals(tmp_path / "p.h5")
    assert [(f.key[2], f.kind) for f in found] == [(v, k) for v in "abc" for k in ("macro", "micro")]
    write_proposals(tmp_path / "again.h5", items, ABOUT)
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "p.h5").read_bytes()


def test_none_at_all(tmp_path):
    write_proposals(tmp_path / "p.h5", [], ABOUT)
    assert read_proposals(tmp_path / "p.h5") == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a/b", np.ones((2, 3))),
        ("method/x/test/d/s/v/micro", np.ones((2, 3))),
        ("method/0/test/d/s/v/mikro", np.ones((2, 3))),
        ("method/0/test/d/s/v/micro", np.ones((2, 2))),
        ("method/0/test/d/s/v/micro", np.ones(3)),
        ("method/0/nobody/d/s/v/micro", np.ones((2, 3))),
    ],
)
def test_another_file_is_refused(tmp_path, name, data):
    with create_shard(tmp_path / "p.h5") as file:
        file[name] = data
    with pytest.raises(UserError, match=r"p\.h5: .*expected proposals of a spotting method"):
        read_proposals(tmp_path / "p.h5")
    (tmp_path / "p.h5").write_text("text")
    with pytest.raises(UserError, match=r"p\.h5"):
        read_proposals(tmp_path / "p.h5")
