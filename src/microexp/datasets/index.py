"""Stage `index`: read a release through its adapter into one schema, and say what was found and what was mended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexp.datasets.adapters import load_adapter
from microexp.datasets.counts import compare, differences, write_counts
from microexp.datasets.params import DatasetParams, DemoParams, IndexParams
from microexp.errors import UserError
from microexp.reading.read import list_videos, read_release
from microexp.reading.release import Adapter, Index, Release
from microexp.records.exclusions import Exclusion, write_exclusions
from microexp.records.index import write_expressions, write_issues, write_videos
from microexp.run.log import log
from microexp.run.names import check_name
from microexp.run.stage import Job


def open_release(name: str, options: IndexParams) -> tuple[Adapter, Release]:
    """Adapter and release of data set `name`.

    Raises:
        UserError: when the adapter is not known or the root is not a folder.
    """
    check_name(name, "data set", "config")
    adapter = load_adapter(options.adapter or name, name)
    root = options.root or adapter.default_root
    if root is None:
        raise UserError(file="config", where=f"datasets.{name}.root", expected="the folder of the release on disk")
    place = Path(root).expanduser()
    if not place.is_dir():
        what = "no folder" if place.exists() else "no such folder"
        raise UserError(
            file=root, where=f"datasets.{name}.root", problem=what, expected="the folder of the release on disk"
        )
    return adapter, Release(name, place, options)


@dataclass(frozen=True)
class Listing:
    """What names of folders alone tell of a data set: what the workflow plans its jobs by.

    Attributes:
        subjects: in natural order.
        digest: changes when a video comes, goes, or gets or loses a frame; empty for what the run itself makes.
    """

    subjects: tuple[str, ...]
    digest: str


def listing(name: str, dataset: DatasetParams, demo: DemoParams) -> Listing:
    """List the videos of a data set; a folder of frames is looked at, not into.

    Raises:
        UserError: when the release is not there or holds no video.
    """
    adapter = load_adapter(dataset.adapter or name, name)
    if adapter.planned is not None:
        return Listing(tuple(check_name(s, "subject") for s in adapter.planned(demo)), "")
    adapter, release = open_release(name, dataset)
    found = list_videos(adapter, release)
    if not found:
        raise _no_video(release)
    digest = hashlib.sha256()
    for item in found:
        digest.update(f"{item.subject}/{item.video} {release.relative(item.path)} {_changed(item.path)}\n".encode())
    return Listing(tuple(dict.fromkeys(item.subject for item in found)), digest.hexdigest()[:16])


def _changed(path: Path) -> int | None:
    """When a file, or the list of files in a folder, changed last (ns); None for a broken link."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def files(name: str, dataset: DatasetParams) -> list[Path]:
    """Files that the annotations of a release come from; a change in one of them makes `index` run again.

    Raises:
        UserError: when the release or its sheet is not there.
    """
    adapter, release = open_release(name, dataset)
    return adapter.find_sheets(release)


def read_index(name: str, options: IndexParams) -> tuple[Adapter, Release, Index]:
    """Read the whole release.

    Raises:
        UserError: when it cannot be read, or holds no video.
    """
    adapter, release = open_release(name, options)
    index = read_release(adapter, release)
    if not index.videos:
        raise _no_video(release, index.exclusions)
    return adapter, release, index


def _no_video(release: Release, exclusions: Sequence[Exclusion] = ()) -> UserError:
    why = f"none that can be used, the first since {exclusions[0].reason}" if exclusions else "none"
    expected = "the release's folders of frames or video files"
    return UserError(file=release.root, where="videos", problem=why, expected=expected)


def run(job: Job[IndexParams]) -> Mapping[str, Any]:
    """Write videos, expressions, issues and counts of one data set."""
    name = job.keys["dataset"]
    adapter, release, index = read_index(name, job.params)
    counts = compare(name, job.params.adapter or name, index, adapter.published(release), adapter.other_totals(release))
    wrong = differences(counts)
    if job.params.strict and wrong:
        raise UserError(
            file=release.root,
            where=f"{len(wrong)} counts",
            got=wrong[0].describe(),
            expected="the published counts",
            hint="microexp check shows all; strict: false goes on",
        )
    write_videos(job.output("videos"), index.videos)
    write_expressions(job.output("expressions"), index.expressions, index.videos)
    write_issues(job.output("issues"), index.issues)
    write_counts(job.output("counts"), counts)
    write_exclusions(job.output("excluded"), index.exclusions)
    log(
        f"{name}: {len(index.videos)} videos, {len(index.expressions)} expressions, "
        f"{len(index.issues)} issues, "
        f"{len(index.exclusions)} left out, {len(wrong)} differences to the published counts"
    )
    return {"root": release.root.name}
