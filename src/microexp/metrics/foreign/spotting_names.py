"""Videos and subjects by one name each, whatever the files of predictions and of ground truths call them.

A log says `15_0101`, a folder `15_0101disgustingteeth`, the project `s15_0101`; the challenge's files name no subject.
Two names that do not meet would count as a miss, so those that can be told are corrected and the others reported.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from microexp.datasets import cas_me2
from microexp.errors import UserError
from microexp.metrics.spotting import Interval
from microexp.run.log import log

_SAMM_LV = re.compile(r"(\d{1,3})_(\d{1,2})")
_OF_A_RELEASE = re.compile(r"s?\d+_\d+")


def video_name(name: str, dataset: str) -> str:
    """The project's name of a video of `cas_me2` or `samm_lv`, whatever folder stands before it; a name of another form
    stays as it is."""
    name = _plain(re.split(r"[\\/]+", name.strip())[-1])
    if dataset == "cas_me2":
        match = cas_me2.VIDEO.fullmatch(name)
        return f"s{match[1]}_{match[2]}" if match else name
    match = _SAMM_LV.fullmatch(name)
    return f"{match[1].zfill(3)}_{match[2]}" if match else name


def subject_of(video: str) -> str:
    """Subject of a video by the field's naming: `s15_0101` and `006_1` belong to `s15` and `006`; else the video."""
    match = re.match(r"(.+?)_", video)
    return match[1] if match else video


def rename(items: Sequence[Interval], dataset: str) -> list[Interval]:
    """The intervals under the project's names of the videos of `dataset`.

    A subject without a data set follows them, unless a name has another form and may be several people's.
    """
    renamed = []
    for item in items:
        video = (_watched(item) if dataset == "cas_me2" else None) or video_name(item.video, dataset)
        own = "/" in item.subject or (item.subject and not _OF_A_RELEASE.fullmatch(video))
        subject = item.subject if own else subject_of(video)
        renamed.append(replace(item, video=video, subject=subject))
    return renamed


def _watched(item: Interval) -> str | None:
    """The project's name of `5` and `anger1`: participant and film, as the sheet of CAS(ME)^2 calls a video; else None.

    A subject of the folders has its letter (`s20`): plain numbers are participants, as in the sheet.
    """
    film, person = cas_me2.FILMS.get(_plain(item.video).lower()), item.subject.lower()
    subject = cas_me2.SUBJECTS.get(int(person)) if person.isdecimal() else person
    return f"{subject}_{film}" if film and subject in cas_me2.SUBJECTS.values() else None


def name_subjects(items: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """The intervals with a subject each.

    A subject of the form `dataset/subject` stays. Any other, or none, becomes the one under which `others` have the
    same video; where they do not have it, the one of theirs that it names; else it stays, or follows from the video.

    Raises:
        UserError: when `others` have the video under several subjects that it may be.
    """
    by_video: dict[str, set[str]] = {}
    by_name: dict[str, set[str]] = {}
    for other in others:
        if other.subject:
            by_video.setdefault(other.video, set()).add(other.subject)
            by_name.setdefault(_last(other.subject), set()).add(other.subject)
    return [i if "/" in i.subject else replace(i, subject=_subject(i, by_video, by_name)) for i in items]


def _subject(item: Interval, by_video: Mapping[str, set[str]], by_name: Mapping[str, set[str]]) -> str:
    name = item.subject or subject_of(item.video)
    known = sorted(s for s in by_video.get(item.video, ()) if item.subject in ("", _last(s)))
    if len(known) > 1:
        raise UserError(
            where=f"video {item.video}",
            problem=f"subjects {', '.join(known)}",
            expected="one subject",
            hint="say which in columns dataset and subject",
        )
    known = known or sorted(by_name.get(name, ()))
    return known[0] if len(known) == 1 else name


def _last(subject: str) -> str:
    return subject.rpartition("/")[2]


def check_videos(predictions: Sequence[Interval], truths: Sequence[Interval]) -> None:
    """Say how many of the videos with predictions have no ground truth: videos without expressions, or other names.

    Raises:
        UserError: when all of them do, although there are ground truths.
    """
    found, real = ({f"{i.subject}/{i.video}" for i in items} for items in (predictions, truths))
    alone = found - real
    if alone and alone == found and real:
        raise UserError(
            file="predictions",
            where="videos",
            got=_few(found),
            expected=f"at least one of the ground truths': {_few(real)}",
            hint="--dataset brings the names of cas_me2 and samm_lv into one form",
        )
    if alone:
        log(f"{len(alone)} of {len(found)} videos with predictions have no ground truth: {_few(alone)}")


def _few(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else "")


# --- one name on both sides -------------------------------------------------------------------------------------------

_PERSON = re.compile(r"(?:sp[_ ]?no|subject|subj|sub|participant|person|p|s)?[\W_]*0*(\d+)", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(mp4|avi|mov|mkv|m4v|wmv|mpe?g|webm|ts|mts|flv)$", re.IGNORECASE)
Named = tuple[str, str]
"""Subject, video."""


def match_names(
    predictions: Sequence[Interval], truths: Sequence[Interval], *, file: object = "predictions"
) -> tuple[list[Interval], list[Interval]]:
    """Both with the ground truths' names of subjects and videos, where they are the same but for their form.

    Of a path (`s15/15_0101.mp4`) the last part is the video, and the folder its subject where nothing else tells it.
    Case, signs and zeros before numbers do not matter, unless they tell two videos apart.

    Args:
        predictions: any intervals.
        truths: those with the names that count.
        file: that holds the predictions, for errors.

    Raises:
        UserError: when two videos of the predictions have the name of one of the ground truths', or one has the name
            of two.
    """
    truths = _without_folders(truths)
    known: list[Named] = list(dict.fromkeys((t.subject, t.video) for t in truths))
    by_key: list[dict[str, list[Named]]] = [{}, {}]
    for pair in known:
        for form, table in zip((_plain, video_key), by_key, strict=True):
            table.setdefault(form(pair[1]), []).append(pair)
    given = dict.fromkeys((p.subject, p.video) for p in predictions)
    names = {pair: _named_as(pair, by_key, file) for pair in given}
    _check_distinct(names, file)
    return [_renamed(p, names[p.subject, p.video]) for p in predictions], truths


def _named_as(pair: Named, by_key: Sequence[Mapping[str, Sequence[Named]]], file: object) -> Named:
    """What the ground truths call a video of the predictions; its own plain name where they do not have it."""
    subject, folder, video = _parts(pair)
    for form, table in zip((_plain, video_key), by_key, strict=True):
        candidates = table.get(form(video), ())
        for person in [subject] if subject else [folder, ""] if folder else [""]:
            same = [c for c in candidates if _same_person(person, c[0])]
            same = [c for c in same if c[0] == person] or same
            if len(same) == 1:
                return same[0][0] or subject, same[0][1]
            if same:
                _check_one(video, {c[1] for c in same}, file)
                return subject, same[0][1]  # of several subjects: told apart, or refused, with the subjects
    return subject, _plain(video)


def _check_one(video: str, names: Collection[str], file: object) -> None:
    """Raise when a video may be several of the ground truths'."""
    if len(names) > 1:
        among = " or ".join(map(repr, sorted(names)))
        raise UserError(
            file=file, where=f"video {video}", problem=f"may be {among} of the ground truths", expected="one of them"
        )


def _parts(pair: Named) -> tuple[str, str, str]:
    """Subject, folder, and last part of a name that may be a path."""
    parts = [part for part in re.split(r"[\\/]+", pair[1].strip()) if part]
    return pair[0], parts[-2] if len(parts) > 1 else "", parts[-1] if parts else pair[1]


def _plain(name: str) -> str:
    return _SUFFIX.sub("", name.strip(" \t'\"*"))


def video_key(name: str) -> str:
    """Letters and numbers alone, in lower case, without zeros before numbers."""
    words = re.findall(r"[^\W\d_]+|\d+", unicodedata.normalize("NFKC", _plain(name)).casefold())
    return " ".join(str(int(word)) if word.isdecimal() else word for word in words)


def _same_person(one: str, other: str) -> bool:
    """Whether two names, of which one may be empty, can be of one subject: `s5`, `sub05` and `5`."""
    if not one or not other:
        return True
    (dataset, _, person), (another, _, who) = one.rpartition("/"), other.rpartition("/")
    if dataset and another and dataset.casefold() != another.casefold():
        return False
    return person_key(person) == person_key(who)


def person_key(name: str) -> str:
    """What is the same for all usual spellings of a subject: 5 of `s5`, `sub05` and `005`."""
    match = _PERSON.fullmatch(name.strip())
    return match[1] if match else video_key(name)


def _check_distinct(names: Mapping[Named, Named], file: object) -> None:
    """Raise when names that differ in more than their folder have become one."""
    first: dict[Named, Named] = {}
    for pair, name in names.items():
        other = first.setdefault(name, pair)
        one, another = _plain(_parts(other)[2]), _plain(_parts(pair)[2])
        if one != another:
            raise UserError(
                file=file,
                where="videos",
                problem=f"{one!r} and {another!r}, and the ground truths have one such video, {name[1]!r}",
                expected="a name for each video",
            )


def _without_folders(items: Sequence[Interval]) -> list[Interval]:
    """Ground truths by the last part of their videos' paths; the folder is the subject where several have the name."""
    folders: dict[str, set[str]] = {}
    for item in items:
        _, folder, video = _parts((item.subject, item.video))
        folders.setdefault(_plain(video), set()).add(folder)
    found = []
    for item in items:
        subject, folder, video = _parts((item.subject, item.video))
        video = _plain(video)
        found.append(_renamed(item, (subject or (folder if len(folders[video]) > 1 else ""), video)))
    return found


def _renamed(item: Interval, name: Named) -> Interval:
    subject = name[0] if not ("/" in item.subject and "/" not in name[0]) else item.subject
    return replace(item, subject=subject, video=name[1])
