from __future__ import annotations

import pytest

from microexp.datasets.adapters import ADAPTERS
from microexp.datasets.protocols import PROTOCOLS, class_of, fingerprint
from microexp.errors import UserError


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
    assert class_of("megc2019", adapter, emotion, "sub01", "EP02_01f") == expected


def test_the_two_clips_with_a_broken_apex_do_not_count() -> None:
    assert class_of("megc2019", "casme2", "disgust", "sub04", "EP12_01f") is None
    assert class_of("megc2019", "casme2", "disgust", "sub05", "EP09_05f") is None
    assert class_of("megc2019", "casme2", "disgust", "sub05", "EP12_01f") == "negative"
    assert class_of("casme2_5", "casme2", "disgust", "sub04", "EP12_01f") == "disgust"


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
        assert {*protocol.datasets, *protocol.special, *(a for a, _ in protocol.counts), *protocol.lists} <= set(
            ADAPTERS
        )


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match="did you mean 'megc2019'"):
        class_of("megc2018", "samm", "anger")


def test_fingerprint_depends_on_the_clips_not_on_their_order() -> None:
    clips = [("s1", "a", "negative"), ("s2", "b", "positive")]
    assert fingerprint(clips) == fingerprint(reversed(clips))
    assert fingerprint(clips) != fingerprint([("s1", "a", "positive"), clips[1]])
    assert fingerprint(clips) != fingerprint(clips[:1])
