"""Published choices of classes: which emotion of which data set belongs to which class, and which clips count."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from microexp.errors import UserError


@dataclass(frozen=True)
class Protocol:
    """A published recognition task.

    Attributes:
        title: what it is, with its source.
        classes: class -> emotions, for every data set that `special` does not name.
        special: adapter -> class -> emotions.
        left_out: (adapter, subject, video) of clips that do not count although their emotion has a class.
        datasets: adapters of the official task.
        counts: (adapter, class) -> official number of clips.
        lists: adapter -> SHA-256 of the official list of clips, see `fingerprint`.
    """

    title: str
    classes: Mapping[str, tuple[str, ...]]
    special: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    left_out: frozenset[tuple[str, str, str]] = frozenset()
    datasets: tuple[str, ...] = ()
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)


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
    left_out=frozenset({("casme2", "sub04", "EP12_01f"), ("casme2", "sub05", "EP09_05f")}),  # broken apex
    datasets=("smic", "casme2", "samm"),
    counts={
        **_counts("smic", negative=70, positive=51, surprise=43),
        **_counts("casme2", negative=88, positive=32, surprise=25),
        **_counts("samm", negative=92, positive=26, surprise=15),
    },
    lists={
        "smic": "71a6ed1e8b3adf234fc43bcf49a81646c81092f68e8eeb9dc24ee3722d0736e3",
        "casme2": "69875ec2a0562535641faba88bcb7ebfb44a3d3aacfd3fc150eccc6b70bc375a",
        "samm": "f3f5485d7eb10b338900b237ac981ebfd70dba6e39d9242749932ce8caa2b698",
    },
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
        raise UserError("config", "protocol", repr(name), "one of " + ", ".join(PROTOCOLS), hint)
    return PROTOCOLS[name]


def class_of(protocol: str, adapter: str, emotion: str, subject: str = "", video: str = "") -> str | None:
    """Class of an expression; None when it does not count.

    Args:
        protocol: key of `PROTOCOLS`.
        adapter: adapter that read the expression, such as `casme2`.
        emotion: as in the index, lower case.
        subject: to apply the official choice of clips.
        video: to apply the official choice of clips.

    Raises:
        UserError: when there is no such protocol.
    """
    chosen = find_protocol(protocol)
    if (adapter, subject, video) in chosen.left_out:
        return None
    classes = chosen.special.get(adapter, chosen.classes)
    return next((name for name, emotions in classes.items() if emotion in emotions), None)


def fingerprint(clips: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 over the sorted lines `subject/video class`: tells a list of clips without holding it."""
    lines = sorted(f"{subject}/{video} {name}\n" for subject, video, name in clips)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
