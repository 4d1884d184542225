"""Windows cover every frame of every video; expressions belong to the windows that hold more than 90 % of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microexp.methods.spotting.aemnet.features import FeatureVideo
from microexp.methods.spotting.aemnet.geometry import (
    expression_frames,
    make_geometry,
    make_window,
    training_windows,
    warn_if_short,
    window_origin_frame,
    window_starts,
)
from microexp.records.index import Expression
from tests.methods.spotting.in_memory import MemoryStream

GEOMETRY = make_geometry(128, 2, 2, levels=None, ratios=(0.5, 1.0))


def video(n_frames, step=2, clip=8, index=None):
    n_steps = max(1, (n_frames - clip) // step + 1)
    index = np.arange(n_frames) if index is None else index
    stream = MemoryStream(np.zeros((n_steps, 4), np.float32), n_frames, step, clip, index)
    return FeatureVideo("d", "s", "v", n_steps, 4, n_frames, step, clip, (stream,))


def expression(onset, offset, kind="micro", number=1):
    return Expression("d", "s", "v", number, onset, (onset + offset) // 2, offset, kind, "", "")


@given(st.integers(8, 2000), st.sampled_from([(2, 8), (4, 8), (4, 16), (8, 8), (1, 8)]), st.integers(1, 70))
def test_windows_cover_the_video_from_its_first_frame_to_its_last(n_frames, layout, stride):
    v = video(n_frames, *layout)
    steps = 64
    starts = window_starts(v, steps, min(stride, steps))
    covered = np.zeros(n_frames, bool)
    for start in starts:
        origin = window_origin_frame(v, start)
        covered[max(0, int(np.floor(origin))) : int(np.ceil(origin + steps * v.step_frame))] = True
    assert covered.all()
    assert len(set(starts)) == len(starts)
    seen = {i for start in starts for i in range(start, start + steps)}
    assert set(range(v.n_steps)) <= seen  # every feature, too
    if v.n_steps >= steps + 4:
        assert starts[-1] + steps >= v.n_steps  # the last window ends where the video ends
        assert starts[-1] + steps <= v.n_steps + v.clip_frame // v.step_frame


def test_a_short_video_gets_one_padded_window():
    assert len(window_starts(video(20), 64, 8)) == 1


def test_mostly_short_videos_are_told(capsys):
    warn_if_short([video(127), video(128)], 128)
    assert capsys.readouterr().err == ""
    warn_if_short([video(127), video(100), video(128)], 128)
    assert "2 of 3 training videos are shorter than window_frames=128" in capsys.readouterr().err


def test_ninety_percent_decides_what_belongs_to_a_window():
    v = video(400)
    origin = window_origin_frame(v, 0)
    assert origin == 3
    for onset, belongs in ((3, True), (2, True), (0, False)):  # 20 frames: 20, 19 and 17 of them inside
        window = make_window(
            v, 0, GEOMETRY, expressions=expression_frames(v, [expression(onset, onset + 19)]), inside=0.9
        )
        assert bool(len(window.expressions)) == belongs
        assert not window.empty
    window = make_window(v, 0, GEOMETRY, expressions=expression_frames(v, [expression(1, 20)]), inside=0.9)
    assert not len(window.expressions)  # 18 of 20 is not more than 90 %
    window = make_window(v, 0, GEOMETRY, expressions=expression_frames(v, [expression(140, 150)]), inside=0.9)
    assert window.empty


def test_expressions_are_cut_out_in_window_frames_and_sorted():
    v = video(400)
    table = expression_frames(v, [expression(200, 219, "macro", 2), expression(100, 109)])
    assert table.tolist() == [[100, 110, 1], [200, 220, 2]]
    assert make_window(v, 30, GEOMETRY, expressions=table, inside=0.9).expressions.tolist() == [[37, 47, 1]]


def test_resampled_videos_map_source_frames():
    """200 frames/s to 30: an expression of 100 source frames has 15 crop frames."""
    index = np.cumsum([0, *([6, 7, 7] * 100)])
    v = video(301, index=index)
    table = expression_frames(v, [expression(int(index[30]), int(index[44]))])
    assert table[0].tolist() == [30, 45, 1]


def test_training_takes_full_windows_and_a_seeded_share_of_empty_ones():
    videos = [video(2000)]
    key = ("d", "s", "v")
    annotated = {key: [expression(500, 520)]}
    windows = training_windows(videos, annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=0)
    full = [w for w in windows if len(w.expressions)]
    empty = [w for w in windows if w.empty]
    assert len(full) >= 3 and len(empty) == len(full) and len(windows) == 2 * len(full)
    again = training_windows(videos, annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=0)
    other = training_windows(videos, annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=1)
    assert [w.start for w in again] == [w.start for w in windows]
    assert [w.start for w in other] != [w.start for w in windows]
    assert not any(
        w.empty
        for w in training_windows(videos, annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=0.0, seed=0)
    )
    assert training_windows(videos, {}, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=0) == []


def test_expressions_in_no_window_are_logged(capsys):
    annotated = {("d", "s", "v"): [expression(100, 120), expression(300, 460, "macro", 2)]}
    assert training_windows([video(2000)], annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=0)
    assert "1 of 2 training expressions lie in no window of 128 frames" in capsys.readouterr().err
    annotated = {("d", "s", "v"): [expression(100, 120)]}
    assert training_windows([video(2000)], annotated, GEOMETRY, stride_frames=32, inside=0.9, empty_ratio=1.0, seed=0)
    assert capsys.readouterr().err == ""
