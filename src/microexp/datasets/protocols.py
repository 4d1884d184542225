"""Published choices of classes: which emotion of which data set belongs to which class, and which clips count."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microexp.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """A published recognition task.

    Attributes:
        title: what it is, with its source.
        classes: class -> emotions, for every data set that `special` does not name.
        special: adapter -> class -> emotions.
        datasets: adapters of the official task.
        counts: (adapter, class) -> official number of clips.
        subjects: adapter -> official number of people, where it is told.
        lists: adapter -> the official list of clips with their classes, each as its `clip_hash`.
        by_list: adapters with clips that have the class of the official list, whatever the emotion in the sheet.
    """

    title: str
    classes: Mapping[str, tuple[str, ...]]
    special: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    subjects: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by_list: tuple[str, ...] = ()


def clip_hash(adapter: str, subject: str, video: str, *, name: str) -> str:
    """40 bits of a SHA-256 that tell a clip and its class without holding the data set's rows. Case does not matter."""
    text = f"megc2019 {adapter}/{subject}/{video} {name}".casefold()
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _official(name: str) -> dict[str, frozenset[str]]:
    lists = json.loads(Path(__file__).with_name(name).read_text(encoding="ascii"))
    return {adapter: frozenset(hashes) for adapter, hashes in lists.items()}


def _counts(adapter: str, **numbers: int) -> dict[tuple[str, str], int]:
    return {(adapter, name): number for name, number in numbers.items()}


MEGC2019 = Protocol(
    "MEGC2019 composite (See et al. 2019, doi:10.1109/FG.2019.8756611): 442 clips of 68 subjects",
    classes={
        "negative": ("negative", "repression", "anger", "contempt", "disgust", "fear", "sadness"),
        "positive": ("positive", "happiness"),
        "surprise": ("surprise",),
    },
    special={  # the official list holds none of CASME II's sadness and fear
        "casme2": {"negative": ("disgust", "repression"), "positive": ("happiness",), "surprise": ("surprise",)}
    },
    datasets=("smic", "casme2", "samm"),
    counts={
        **_counts("smic", negative=70, positive=51, surprise=43),
        **_counts("casme2", negative=88, positive=32, surprise=25),
        **_counts("samm", negative=92, positive=26, surprise=15),
    },
    subjects={"casme2": 24, "smic": 16, "samm": 28},
    lists=_official("megc2019.json"),
    by_list=("casme2",),
)

_VALENCE = {
    "negative": ("disgust", "fear", "anger", "sadness"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
}
_SEVEN = ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")

PROTOCOLS = {
    "megc2019": MEGC2019,
    "casme2_5": Protocol(
        "CASME II, 5 classes: 246 clips",
        {name: (name,) for name in ("happiness", "disgust", "repression", "surprise", "others")},
        datasets=("casme2",),
        counts=_counts("casme2", happiness=32, disgust=63, repression=27, surprise=25, others=99),
    ),
    "samm_5": Protocol(
        "SAMM, 5 classes: 136 clips",
        {name: (name,) for name in ("anger", "happiness", "contempt", "surprise", "others")},
        datasets=("samm",),
        counts=_counts("samm", anger=57, happiness=26, contempt=12, surprise=15, others=26),
    ),
    "smic_3": Protocol(
        "SMIC-HS, 3 classes: 164 clips",
        {name: (name,) for name in ("negative", "positive", "surprise")},
        datasets=("smic",),
        counts=_counts("smic", negative=70, positive=51, surprise=43),
    ),
    **{
        f"cas_me3_{len(classes)}": Protocol(
            f"CAS(ME)^3, {len(classes)} classes (Li et al. 2022); counts differ with the version of its sheets",
            classes,
            datasets=("cas_me3",),
        )
        for classes in (_VALENCE, _VALENCE | {"others": ("others",)}, {name: (name,) for name in _SEVEN})
    },
}


def find_protocol(name: str) -> Protocol:
    """The protocol `name`.

    Raises:
        UserError: when there is none.
    """
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name, PROTOCOLS, 1)
        hint = f"did you mean {close[0]!r}?" if close else None
        raise UserError(
            file="config", where="protocol", got=repr(name), expected="one of " + ", ".join(PROTOCOLS), hint=hint
        )
    return PROTOCOLS[name]


def class_of(protocol: str, adapter: str, emotion: str, *, subject: str = "", video: str = "") -> str | None:
    """Class of an expression; None when it does not count.

    Args:
        protocol: key of `PROTOCOLS`.
        adapter: adapter that read the expression, such as `casme2`.
        emotion: as in the index, lower case.
        subject: to look the clip up in the official list.
        video: the same; without it the emotion alone decides.

    Raises:
        UserError: when there is no such protocol.
    """
    chosen = find_protocol(protocol)
    if video and adapter in chosen.by_list:
        return next(
            (name for name in chosen.classes if is_listed(chosen, adapter, subject, video=video, name=name)), None
        )
    classes = chosen.special.get(adapter, chosen.classes)
    return next((name for name, emotions in classes.items() if emotion in emotions), None)


def is_listed(protocol: Protocol, adapter: str, subject: str, *, video: str, name: str) -> bool:
    """Whether the official list has this clip in class `name`."""
    return clip_hash(adapter, subject, video, name=name) in protocol.lists[adapter]


# The MEGC2019 composite as other people's files spell it.

CLASSES = tuple(MEGC2019.classes)
"""0, 1 and 2 of the field's files: negative, positive, surprise."""

ALIASES = {
    "casme2": ("casmeii", "casme2raw", "casmeiiraw"),
    "smic": ("smichs", "smicehs", "smichse"),
    "samm": ("sammme", "sammmicro"),
}
"""Data set -> how others call it, in lower case without anything but letters and digits."""

_NAMES = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
_SUBJECTS = {"casme2": re.compile(r"sub\d+", re.I), "smic": re.compile(r"s\d+", re.I), "samm": re.compile(r"\d{3}")}


def dataset_name(name: str) -> str:
    """`casme2`, `smic` or `samm` for any usual spelling (`CASME_II`, `SMIC-HS`); any other name as it is."""
    return _NAMES.get(re.sub(r"[^a-z0-9]", "", name.lower()), name)


def dataset_of_subject(subject: str) -> str | None:
    """The data set that spells its subjects so (`sub01`, `s1`, `006`); None when it is none of the three."""
    return next((name for name, pattern in _SUBJECTS.items() if pattern.fullmatch(subject)), None)


# F1 of spotting as the field reports it (overall: both kinds pooled), for the tables.
#
# `chosen_on_test` marks methods with an epoch or a threshold picked on the test subjects: their figures are no
# yardstick for a value that was selected honestly.


@dataclass(frozen=True)
class PublishedRow:
    """One method's published F1 (overall) on CAS(ME)^2 and SAMM Long Videos."""

    method: str
    cas_me2: float
    samm_lv: float
    chosen_on_test: bool


PUBLISHED = (
    PublishedRow("MDMD", 0.038, 0.045, False),
    PublishedRow("SOFTNet", 0.202, 0.188, True),
    PublishedRow("Concat-CNN", 0.202, 0.274, True),
    PublishedRow("TSMSNet", 0.247, 0.221, True),
    PublishedRow("LSSNet", 0.325, 0.238, True),
    PublishedRow("OF-FD", 0.344, 0.364, False),
    PublishedRow("MTSN", 0.362, 0.287, True),
    PublishedRow("AUW-GCN", 0.383, 0.373, True),
    PublishedRow("LGSNet", 0.464, 0.388, True),
)
