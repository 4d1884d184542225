"""Videos and subjects by one name each, whatever the files of predictions and of ground truths call them.

A log says `15_0101`, a folder `15_0101disgustingteeth`, the project `s15_0101`; the challenge's files name no subject.
Two names that do not meet would count as a miss, so those that can be told are mended and the others reported.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from microexp.datasets import cas_me2
from microexp.errors import UserError
from microexp.metrics.spotting import Interval
from microexp.run.log import log

_SAMM_LV = re.compile(r"(\d{1,3})_(\d{1,2})")


def video_name(name: str, dataset: str) -> str:
    """The project's name of a video of `cas_me2` or `samm_lv`; a name of another form stays as it is."""
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
    """The intervals under the project's names of the videos of `dataset`; a subject without data set follows them."""
    renamed = []
    for item in items:
        video = video_name(item.video, dataset)
        subject = item.subject if "/" in item.subject else subject_of(video)
        renamed.append(replace(item, video=video, subject=subject))
    return renamed


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
