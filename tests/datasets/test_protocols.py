from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microexp.datasets.casme2 import ADAPTER
from microexp.datasets.counts import compare
from microexp.datasets.index import ADAPTERS
from microexp.datasets.protocols import MEGC2019, PROTOCOLS, class_of, clip_hash
from microexp.errors import UserError
from microexp.reading.params import IndexParams
from microexp.reading.read import read_release
from microexp.reading.release import Release

from .releases import CASME2_HEADER, workbook


@pytest.mark.parametrize(
    ("adapter", "emotion", "expected"),
    [
        ("casme2", "disgust", "negative"), ("casme2", "repression", "negative"), ("casme2", "sadness", None),
        ("casme2", "fear", None), ("casme2", "others", None), ("casme2", "happiness", "positive"),
        ("samm", "sadness", "negative"), ("samm", "fear", "negative"), ("samm", "contempt", "negative"),
        ("samm", "anger", "negative"), ("samm", "others", None), ("samm", "surprise", "surprise"),
        ("smic", "negative", "negative"), ("smic", "positive", "positive"), ("mmew", "fear", "negative"),
        ("samm", "", None),
    ],
)  # fmt: skip
def test_megc2019(adapter: str, emotion: str, expected: str | None) -> None:
    assert class_of("megc2019", adapter, emotion) == expected


def test_the_two_clips_with_a_broken_apex_do_not_count() -> None:
    assert class_of("megc2019", "casme2", "disgust", subject="sub04", video="EP12_01f") is None
    assert class_of("megc2019", "casme2", "disgust", subject="sub05", video="ep09_05f") is None
    assert class_of("casme2_5", "casme2", "disgust", subject="sub04", video="EP12_01f") == "disgust"


def test_published_emotions_give_the_official_numbers_of_442() -> None:
    """From the published counts of emotions to the published counts of classes."""
    emotions = {
        "casme2": {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25,
                   "sadness": 7, "fear": 2},
        "samm": {"anger": 57, "others": 26, "happiness": 26, "surprise": 15, "contempt": 12, "disgust": 9,
                 "fear": 8, "sadness": 6},
        "smic": {"negative": 70, "positive": 51, "surprise": 43},
    }  # fmt: skip
    left_out = {"casme2": {"negative": 2}}
    for name, protocol in PROTOCOLS.items():
        for adapter in {a for a, _ in protocol.counts}:
            for label in protocol.classes:
                number = sum(n for e, n in emotions[adapter].items() if class_of(name, adapter, e) == label)
                less = left_out.get(adapter, {}).get(label, 0) if name == "megc2019" else 0
                assert number - less == protocol.counts[adapter, label], (name, adapter, label)
            if adapter in protocol.lists:
                assert len(protocol.lists[adapter]) == sum(protocol.counts[adapter, c] for c in protocol.classes)
    assert sum(PROTOCOLS["megc2019"].counts.values()) == 442
    assert sum(PROTOCOLS["casme2_5"].counts.values()) == 246
    assert sum(PROTOCOLS["samm_5"].counts.values()) == 136


@pytest.mark.parametrize(
    ("classes", "fear", "others"), [(3, "negative", None), (4, "negative", "others"), (7, "fear", "others")]
)
def test_cas_me3(classes: int, fear: str, others: str | None) -> None:
    name = f"cas_me3_{classes}"
    assert len(PROTOCOLS[name].classes) == classes
    assert class_of(name, "cas_me3", "fear") == fear and class_of(name, "cas_me3", "others") == others


def test_protocols_name_adapters_that_exist() -> None:
    for protocol in PROTOCOLS.values():
        named = {*protocol.datasets, *protocol.special, *protocol.subjects, *protocol.lists, *protocol.by_list}
        assert named | {adapter for adapter, _ in protocol.counts} <= set(ADAPTERS)


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match="did you mean 'megc2019'"):
        class_of("megc2018", "samm", "anger")


def test_hashes_of_clips_depend_on_the_clip_and_its_class_not_on_case() -> None:
    one = clip_hash("casme2", "sub01", "EP02_01f", name="positive")
    assert one == clip_hash("casme2", "Sub01", "ep02_01F", name="positive")
    assert one not in {
        clip_hash("casme2", "sub01", "EP02_01f", name="negative"),
        clip_hash("samm", "sub01", "EP02_01f", name=""),
    }


def test_the_official_list_decides_whatever_the_sheet_says(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = frozenset({clip_hash("casme2", "sub01", "EP02_01f", name="negative")})
    monkeypatch.setitem(PROTOCOLS, "megc2019", replace(MEGC2019, lists={**MEGC2019.lists, "casme2": listed}))
    for emotion in ("disgust", "surprise", "others", "negative", "positive", ""):
        assert class_of("megc2019", "casme2", emotion, subject="sub01", video="ep02_01f") == "negative"
        assert class_of("megc2019", "casme2", emotion, subject="sub01", video="EP02_02f") is None
    assert class_of("megc2019", "samm", "surprise", subject="006", video="006_1_2") == "surprise"


OFFICIAL = Path(__file__).parents[3] / "shared/data/megc2019_flow28/flow28_u_v_os_442.npz"


needs_official = pytest.mark.skipif(not OFFICIAL.is_file(), reason="the published maps of the 442 clips are not there")


@needs_official
def test_the_lists_are_the_442_clips() -> None:
    archive = np.load(OFFICIAL)
    found: dict[str, set[str]] = {}
    for adapter, subject, video, label in zip(
        *(archive[key] for key in ("dataset", "subject", "sample", "label")), strict=True
    ):
        name = tuple(MEGC2019.classes)[label]
        found.setdefault(str(adapter), set()).add(clip_hash(adapter, subject, video, name=name))
        if adapter == "casme2":
            assert class_of("megc2019", "casme2", "", subject=subject, video=video.lower()) == name
    assert {adapter: set(hashes) for adapter, hashes in MEGC2019.lists.items()} == found
    assert sum(map(len, found.values())) == 442


@needs_official
@pytest.mark.parametrize("spelled", [str, str.lower])
def test_a_sheet_of_the_official_clips_has_the_145_also_where_a_later_one_has_other_labels(
    tmp_path: Path, spelled: Callable[[str], str]
) -> None:
    archive = np.load(OFFICIAL)
    own = archive["dataset"] == "casme2"
    clips = list(zip(*(archive[key][own].tolist() for key in ("subject", "sample", "label")), strict=True))
    emotions = ("disgust", "happiness", "surprise")
    rows = [(s[3:], spelled(v), None, 1, 2, 3, None, "4", emotions[label]) for s, v, label in clips]
    rows += [("04", "EP12_01f", None, 1, "/", 3, None, 4, "disgust")]
    rows += [("05", "EP09_05f", None, 1, 1, 3, None, 4, "disgust")]
    rows += [("09", f"EP99_{n:02d}", None, 1, 2, 3, None, 4, "surprise") for n in range(3)]
    workbook(tmp_path / "CASME2-coding-20190701.xlsx", Sheet1=[CASME2_HEADER, *rows])
    index = read_release(ADAPTER, Release("casme2", tmp_path, IndexParams()))
    found = {
        c.group: (c.published, c.sheet) for c in compare("x", "casme2", index, published={}) if c.what == "megc2019"
    }
    assert found == {"negative": (88, 88), "positive": (32, 32), "surprise": (25, 25), "official list": (145, 145)}
