"""Files of named byte strings: the same bytes each time, and no changed byte goes unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.run import bundle
from microexp.run.bundle import Bundle, pack, unpack

ABOUT = {"kind": "spotting", "version": 1, "streams": {"motion": {"fps": [30.0]}}, "classes": ["é", "b"], "none": None}
PARTS = {"method.0": bytes(range(256)), "empty": b"", "model/permuted.0.inner1": b"\0\1\2"}
MADE = Bundle(ABOUT, PARTS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), json_values, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z0-9./]{1,12}", fullmatch=True), st.binary(max_size=64), max_size=4),
)
def test_what_is_packed_is_unpacked(about, parts):
    found = unpack(pack(Bundle(about, parts)))
    assert found.about == about and found.parts == parts


@pytest.mark.long
def test_order_changes_nothing(tmp_path):
    other = Bundle(dict(reversed(ABOUT.items())), dict(reversed(PARTS.items())))
    assert pack(other) == pack(MADE)
    code = f"import sys; from microexp.run.bundle import *; sys.stdout.buffer.write(pack(Bundle({ABOUT!r}, {PARTS!r})))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert done.stdout == pack(MADE)


def test_a_file_is_written_and_read(tmp_path):
    bundle.write(tmp_path / "m.safetensors", MADE)
    assert bundle.read(tmp_path / "m.safetensors") == MADE
    with pytest.raises(UserError, match=r"n\.safetensors: No such file"):
        bundle.read(tmp_path / "n.safetensors")
    with pytest.raises(UserError, match="Is a directory"):
        bundle.read(tmp_path)


def test_it_is_a_safetensors_file_that_others_can_read(tmp_path):
    from safetensors import safe_open

    bundle.write(tmp_path / "m.safetensors", MADE)
    with safe_open(tmp_path / "m.safetensors", "numpy") as file:
        assert set(file.keys()) == set(PARTS) and file.get_tensor("method.0").tobytes() == PARTS["method.0"]
        assert json.loads(json.loads(file.metadata()["microexp"])["about"]) == ABOUT


def test_every_flipped_bit_is_noticed():
    data, rng = pack(MADE), np.random.default_rng(0)
    flips = {(int(rng.integers(len(data))), int(rng.integers(8))) for _ in range(330)}
    assert len(flips) >= 300
    for place, bit in flips:
        changed = bytearray(data)
        changed[place] ^= 1 << bit
        with pytest.raises(UserError) as error:
            unpack(bytes(changed), "m.safetensors")
        assert str(error.value).startswith("m.safetensors: ") and "\n" not in str(error.value)


def test_cuts_additions_and_strangers_are_noticed():
    data = pack(MADE)
    for length in {0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1}:
        with pytest.raises(UserError):
            unpack(data[:length])
    from safetensors.numpy import save

    strangers = [
        b"text", bytes(100), data + b"\0", save({"a": np.ones(2)}), save({"a": np.ones(2)}, {"microexp": "{}"}),
        save({"a": np.ones(2)}, {"microexp": '{"about": "[1]", "sha256": ""}'}), b"\xff" * 200,
    ]  # fmt: skip
    for stranger in strangers:
        with pytest.raises(UserError):
            unpack(stranger)


def test_parts_cannot_be_swapped():
    one, two = pack(Bundle({}, {"a": b"1", "b": b"2"})), pack(Bundle({}, {"a": b"2", "b": b"1"}))
    assert one != two and len(one) == len(two)
    body = one[:-2] + two[-2:]
    with pytest.raises(UserError, match="changed"):
        unpack(body)


@pytest.mark.long
def test_a_large_file_with_other_bytes_is_refused_without_being_held(tmp_path):
    import tracemalloc

    size = 300_000_000
    packed = bundle.pack(bundle.Bundle({"kind": "x"}, {"a": b"y"}))
    length = int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8 : 8 + length])
    header["a"] |= {"shape": [size], "data_offsets": [0, size]}
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    tracemalloc.start()
    with pytest.raises(UserError, match="bytes that have changed"):
        bundle.read(tmp_path / "model.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
