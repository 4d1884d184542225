"""Decoding and pooling of proposals; that the fast way gives what the plain one does."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

import microexp.methods.spotting.aemnet.proposals as proposals_module
from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
from microexp.methods.spotting.aemnet.geometry import Window, make_geometry, window_starts
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.proposals import decode, pool, propose
from microexp.methods.spotting.aemnet.targets import anchor_targets, point_targets
from tests.methods.spotting.in_memory import MemoryStream

GEOMETRY = make_geometry(128, 2, 2, levels=None, ratios=(0.5, 0.75, 1.0, 1.5, 2.0))


def test_decoding_undoes_the_targets():
    table = np.array([[9.0, 17.0, 1.0], [40.0, 75.0, 2.0]])
    point_label, distance = point_targets(table, GEOMETRY)
    anchor_label, offset = anchor_targets(table, GEOMETRY, 0.5, background_iou=0.4)
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


def fixed(anchor):
    """Says the same of every window: one anchor is surely micro."""

    def predict(chosen):
        logits = torch.full((len(chosen), 150, 2), -6.0)
        logits[:, anchor, 0] = 3.0
        points = torch.full((len(chosen), 30, 2), -6.0)
        return points, torch.ones(len(chosen), 30, 2), logits, torch.zeros(len(chosen), 150, 2)

    return predict


def video(n_frames, index=None, channels=4):
    n_steps = (n_frames - 8) // 2 + 1
    data = np.random.default_rng(0).standard_normal((n_steps, channels)).astype(np.float32)
    stream = MemoryStream(data, n_frames, 2, 8, np.arange(n_frames) if index is None else index)
    return FeatureVideo("d", "s", "v", n_steps, channels, n_frames, 2, 8, (stream,))


def proposals(v, **options):
    params = AemnetParams.model_validate({"test_stride_frames": 128, **options})
    anchor = int(np.flatnonzero((GEOMETRY.anchor_centres == 36) & (GEOMETRY.anchor_widths == 8))[0])
    windows = [Window(v, s, np.empty((0, 3)), True) for s in window_starts(v, 64, 64)]
    return pool(fixed(anchor), windows, GEOMETRY, options=params)


@pytest.mark.long
@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("input_channels", [None, 4, 6])
@pytest.mark.parametrize("n_frames", [60, 700])
def test_a_video_gets_what_the_plain_network_says_of_its_windows_one_by_one(input_channels, n_frames, networks):
    """Batches, gathering by index, the stack's arithmetic and narrowing once per video change nothing but rounding."""
    network = {
        "stem_channels": (4, 4, 4), "channels": 8, "attention_channels": 8, "head_channels": 8,
        "input_channels": input_channels,
    }  # fmt: skip
    params = AemnetParams.model_validate({"network": network, "test_stride_frames": 8})
    torch.manual_seed(0)
    plain, v = [AemNet(6, GEOMETRY, params.network).eval() for _ in range(networks)], video(n_frames, channels=6)
    store = FeatureStore([v], centre=True)
    found = propose(plain, v, store, geometry=GEOMETRY, options=params, device=torch.device("cpu"))
    windows = [Window(v, s, np.empty((0, 3)), True) for s in window_starts(v, 64, 4)]

    def one_by_one(chosen):
        """The mean of all networks, for each window alone."""
        with torch.no_grad():
            xs = [torch.from_numpy(store.read(v, windows[k].start, 64))[None] for k in chosen]
            each = [[torch.stack(part).mean(0) for part in zip(*(net(x) for net in plain), strict=True)] for x in xs]
        return tuple(torch.cat(part) for part in zip(*each, strict=True))

    expected = pool(one_by_one, windows, GEOMETRY, options=params)
    assert len(found) == len(expected) > 0
    for kind in ("micro", "macro"):
        ours, theirs = (np.array([r[1:4] for r in rows if r[0] == kind]) for rows in (found, expected))
        assert np.allclose(np.sort(ours, 0), np.sort(theirs, 0), atol=0.02)
    assert found == propose(plain, v, store, geometry=GEOMETRY, options=params, device=torch.device("cpu"))


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


def noisy(chosen):
    """Says something else of every window, but of every third the same, so that scores and places are equal, too."""
    parts = []
    for k in chosen:
        rng = np.random.default_rng(int(k) if k % 3 else 0)
        parts.append([rng.normal(size=shape).round(1) for shape in ((30, 2), (30, 2), (150, 2), (150, 2))])
    return tuple(torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*parts, strict=True))


def pooled(n_frames, stride=8):
    v = video(n_frames)
    windows = [Window(v, s, np.empty((0, 3)), True) for s in window_starts(v, 64, stride)]
    return pool(noisy, windows, GEOMETRY, options=AemnetParams(proposals_kept=7))


@pytest.mark.parametrize("n_frames", [90, 3000])
def test_batches_of_any_size_give_the_same_proposals(monkeypatch, n_frames):
    whole = pooled(n_frames)
    for batch in (1, 5, 10_000):
        monkeypatch.setattr(proposals_module, "BATCH", batch)
        assert pooled(n_frames) == whole


def test_memory_does_not_grow_with_the_places_of_a_video():
    def peak(n_frames):
        tracemalloc.start()
        found = pooled(n_frames)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, len(found)

    short, long = peak(4_000), peak(24_000)
    assert long[1] > 5 * short[1]
    a_place = 4 * 8 + 1
    places = 180 * (24_000 - 4_000) // 16
    assert long[0] - short[0] < 0.5 * places * a_place
