"""Decoding, pooling and the CSV of proposals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import FeatureVideo
from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.proposals import (
    Proposal,
    decode,
    group_by_video,
    propose,
    read_proposals,
    write_proposals,
)
from microexp.methods.spotting.aemnet.targets import anchor_targets, point_targets
from microexp.methods.spotting.params import AemnetParams

GEOMETRY = make_geometry(128, 2, 2, None, (0.5, 0.75, 1.0, 1.5, 2.0))


def test_decoding_undoes_the_targets():
    table = np.array([[9.0, 17.0, 1.0], [40.0, 75.0, 2.0]])
    point_label, distance = point_targets(table, GEOMETRY)
    anchor_label, offset = anchor_targets(table, GEOMETRY, 0.5, 0.4)
    tensors = [
        torch.zeros(1, 30, 2),
        torch.from_numpy(distance)[None],
        torch.zeros(1, 150, 2),
        torch.from_numpy(offset)[None],
    ]
    starts, ends, scores = decode(tuple(tensors), GEOMETRY)
    assert scores.shape == (1, 180, 2) and (scores == 0.5).all()
    labels = np.concatenate([point_label, anchor_label])
    for kind in (1, 2):
        places = labels == kind
        assert places.sum() >= 2
        assert np.allclose(starts[0, places], table[kind - 1, 0], atol=1e-3)
        assert np.allclose(ends[0, places], table[kind - 1, 1], atol=1e-3)


def test_wild_widths_stay_finite():
    outputs = (torch.zeros(1, 30, 2), torch.zeros(1, 30, 2), torch.zeros(1, 150, 2), torch.full((1, 150, 2), 1e4))
    starts, ends, _ = decode(outputs, GEOMETRY)
    assert np.isfinite(starts).all() and np.isfinite(ends).all()


class Fixed(torch.nn.Module):
    """Says the same of every window: one anchor is surely micro."""

    def __init__(self, anchor):
        super().__init__()
        self.anchor = anchor

    def forward(self, x):
        logits = torch.full((len(x), 150, 2), -6.0)
        logits[:, self.anchor, 0] = 3.0
        return torch.full((len(x), 30, 2), -6.0), torch.ones(len(x), 30, 2), logits, torch.zeros(len(x), 150, 2)


class Nothing:
    """A store whose features do not matter."""

    def read(self, video, start, length):
        return np.zeros((length, 4), np.float32)


def video(n_frames, index=None):
    return FeatureVideo(
        "d", "s", "v", Path("d/s.h5"), (n_frames - 8) // 2 + 1, 4, n_frames, 2, 8,
        np.arange(n_frames) if index is None else index,
    )  # fmt: skip


def proposals(v, **options):
    params = AemnetParams.model_validate({"test_stride_frames": 128, **options})
    anchor = int(np.flatnonzero((GEOMETRY.anchor_centres == 36) & (GEOMETRY.anchor_widths == 8))[0])
    return propose(Fixed(anchor), v, Nothing(), GEOMETRY, params, torch.device("cpu"))


def test_windows_are_put_at_their_place_in_the_video():
    found = [p for p in proposals(video(500)) if p[0] == "micro" and p[3] > 0.9]
    # windows begin at features -2, 62 …, that is at frames -1, 127 …; the last one ends at the last frame's slot
    assert sorted(p[1:3] for p in found)[:2] == [(31.0, 38.0), (159.0, 166.0)]
    assert {p[4] for p in found} == {"anchor"}


def test_proposals_stay_inside_the_video_and_both_kinds_are_proposed():
    found = proposals(video(100))
    assert {p[0] for p in found} == {"micro", "macro"} and {p[4] for p in found} == {"anchor", "point"}
    assert all(0 <= p[1] < p[2] <= 99 for p in found)


def test_no_stretch_crowds_out_another():
    kept = proposals(video(1000), proposals_kept=3)
    micro = [p for p in kept if p[0] == "micro"]
    cells = np.bincount([int((p[1] + p[2] + 1) / 2 // 128) for p in micro], minlength=8)
    assert (cells <= 3).all() and (cells >= 1).all() and len(micro) <= 24
    assert [p[3] for p in micro] == sorted((p[3] for p in micro), reverse=True)


def test_proposals_are_in_source_frames():
    index = np.cumsum([0, *([6, 7, 7] * 100)])[:300]
    found = [p for p in proposals(video(300, index)) if p[3] > 0.9]
    assert sorted(p[1:3] for p in found)[0] == (float(index[31]), float(index[38]))


def test_proposals_survive_a_round_trip(tmp_path):
    items = [Proposal("aemnet", "test", 0, "d", "s", v, "micro", 1.5, 9.25, 0.875, "point") for v in ("a", "b", "a")]
    write_proposals(tmp_path / "p.csv", items)
    assert read_proposals(tmp_path / "p.csv") == items
    assert [len(g) for g in group_by_video(items).values()] == [2, 1]
    text = (tmp_path / "p.csv").read_text().replace("9.25", "x")
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UserError, match="row 2"):
        read_proposals(tmp_path / "p.csv")
