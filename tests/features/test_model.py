from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microexp.features.i3d_network import FEATURES, InceptionI3d, max_pool_same, pad_same, same_padding
from microexp.features.weights import convert
from tests.features import reference


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (8, 7, 2, (2, 3)),
        (9, 7, 2, (3, 3)),
        (1, 7, 2, (3, 3)),
        (4, 3, 2, (0, 1)),
        (5, 3, 2, (1, 1)),
        (10, 3, 1, (1, 1)),
        (5, 2, 2, (0, 1)),
        (6, 1, 2, (0, 0)),
    ],
)
def test_padding_as_tensorflow_documents_it(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == expected


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 3))
def test_padding_gives_one_output_per_stride(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_padding_goes_to_the_right_axes() -> None:
    x = torch.ones(1, 1, 8, 5, 4)
    padded = pad_same(x, (7, 3, 1), (2, 2, 1))
    assert padded.shape == (1, 1, 13, 7, 4)
    assert padded[0, 0, :, 1, 0].tolist() == [0, 0] + [1] * 8 + [0] * 3
    assert max_pool_same(x, (1, 3, 3), (1, 2, 2)).shape == (1, 1, 8, 3, 2)


def test_number_of_parameters() -> None:
    with torch.device("meta"):
        rgb, flow = InceptionI3d(3), InceptionI3d(2)
    counts = {n: p.numel() for n, p in rgb.named_parameters()}
    body = sum(n for name, n in counts.items() if "logits" not in name)
    assert body == 12_287_264  # 12.29 million, of which 7280 scale parameters that are one in the release
    assert sum(counts.values()) - body == 1024 * 400 + 400
    assert body - sum(p.numel() for n, p in flow.named_parameters() if "logits" not in n) == 64 * 343


@pytest.mark.long
def test_shapes_at_the_published_size() -> None:
    with torch.device("meta"):
        network = InceptionI3d(3)
        maps = network.maps(torch.empty(2, 3, 16, 224, 224))
        assert maps.shape == (2, FEATURES, 2, 7, 7)
        assert network.features(torch.empty(1, 3, 8, 64, 64)).shape == (1, FEATURES)
        assert network(torch.empty(1, 3, 16, 224, 224)).shape == (1, 400)


@pytest.mark.long
def test_same_features_as_an_independent_implementation(checkpoint: dict[tuple[str, ...], np.ndarray]) -> None:
    clip = np.random.default_rng(1).uniform(-1, 1, (8, 34, 33, 3))
    network = InceptionI3d().eval()
    network.load_state_dict(convert(checkpoint, "x"), strict=False)
    with torch.no_grad():
        found = network.features(torch.from_numpy(clip.transpose(3, 0, 1, 2)[None]).float())[0].numpy()
    expected = reference.features(clip, checkpoint)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
