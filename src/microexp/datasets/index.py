"""Stage `index`: read a release through its adapter into one schema, and say what was found and what was corrected."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microexp.datasets.counts import compare, differences, write_counts
from microexp.errors import UserError
from microexp.reading.fingerprint import Fingerprints, combined
from microexp.reading.params import DatasetParams, DemoParams, IndexParams
from microexp.reading.read import list_videos, read_release
from microexp.reading.release import Adapter, Index, Release, Row
from microexp.records.exclusions import Exclusion, write_exclusions
from microexp.records.index import write_expressions, write_issues, write_videos
from microexp.rendered.head import EMOTIONS
from microexp.run.log import log
from microexp.run.names import check_name
from microexp.run.stage import Job

# The adapters by name; a module is imported only when its data set is used.

ADAPTERS = {
    "cas_me2": "microexp.datasets.cas_me2",
    "samm_lv": "microexp.datasets.samm_lv",
    "casme2": "microexp.datasets.casme2",
    "samm": "microexp.datasets.samm",
    "smic": "microexp.datasets.smic",
    "cas_me3": "microexp.datasets.cas_me3",
    "mmew": "microexp.datasets.mmew",
    "ck_plus": "microexp.datasets.ck_plus",
    "folder": "microexp.datasets.folder",
    "listed": "microexp.datasets.listed",
    "demo": "microexp.datasets.demo",
}


def load_adapter(name: str, dataset: str) -> Adapter:
    """The adapter `name`, as data set `dataset` asks for it.

    Raises:
        UserError: when there is no such adapter.
    """
    if name not in ADAPTERS:
        close = difflib.get_close_matches(name, ADAPTERS, 1)
        hint = f"did you mean {close[0]!r}?" if close else None
        raise UserError(
            file="config",
            where=f"datasets.{dataset}.adapter",
            got=repr(name),
            expected="one of " + ", ".join(ADAPTERS),
            hint=hint,
        )
    adapter: Adapter = importlib.import_module(ADAPTERS[name]).ADAPTER
    return adapter


EMOTIONS_OF_ALL = "\temotions"
"""No subject has this name."""


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
    """What the workflow plans the jobs of a data set by.

    Attributes:
        subjects: in natural order.
        digests: subject -> a hash of the content of its videos and of its rows in the sheets, which is what its part of
            the index depends on; empty for what the run itself makes.
        root: folder that the videos' paths in the index are relative to.
        emotions: those of all rows of the sheets, of people who are not on disk too; None where nobody knows.
    """

    subjects: tuple[str, ...]
    digests: Mapping[str, str]
    root: str
    emotions: frozenset[str] | None = None

    @property
    def digest(self) -> str:
        """Changes when any subject's does; empty for what the run itself makes."""
        return combined(self.digests) if self.digests else ""


def listing(name: str, dataset: DatasetParams, demo: DemoParams, *, known: Fingerprints | None = None) -> Listing:
    """List the videos of a data set and take their fingerprints, of those that changed by reading them.

    Raises:
        UserError: when the release is not there or holds no video.
    """
    adapter = load_adapter(dataset.adapter or name, name)
    if adapter.planned is not None:
        subjects = tuple(check_name(s, "subject") for s in adapter.planned(demo))
        return Listing(subjects, {}, dataset.root or adapter.default_root or ".", frozenset(EMOTIONS))
    adapter, release = open_release(name, dataset)
    found = list_videos(adapter, release)
    if not found:
        raise _no_video(release)
    known = known or Fingerprints()
    rows = _rows(adapter, release, known)
    shown = rows.get(EMOTIONS_OF_ALL)
    emotions = None if shown is None else frozenset(filter(None, shown.split("\n")))
    parts: dict[str, dict[str, object]] = {}
    for item in found:
        own = parts.setdefault(item.subject, {"rows": rows.get(item.subject.casefold(), rows.get(""))})
        own[f"{item.video}\t{release.relative(item.path)}"] = item.length or known.of(item.path)
    return Listing(tuple(parts), {s: combined(own) for s, own in parts.items()}, str(release.root), emotions)


def _rows(adapter: Adapter, release: Release, known: Fingerprints) -> Mapping[str, str]:
    """Subject (lower case) -> a hash of its rows in the sheets, and under EMOTIONS_OF_ALL the emotions of all rows.

    Under "" that of the whole sheets where they cannot be read, which the stage `index` will say in its own words.
    """
    sheets = adapter.find_sheets(release)

    def read() -> dict[str, str]:
        """Hash of each subject's rows, and all emotions that the sheets name."""
        found: dict[str, list[Row]] = {}
        for row in adapter.read_rows(release):
            found.setdefault(row.subject.casefold(), []).append(replace(row, row=0))
        emotions = sorted({row.emotion for own in found.values() for row in own if row.emotion})
        hashes = {subject: combined({"rows": own}) for subject, own in found.items()}
        return hashes | {EMOTIONS_OF_ALL: "\n".join(emotions)}

    try:
        return known.derived(f"{release.root.absolute()}\t{release.options.model_dump_json()}\temotions", sheets, read)
    except UserError:
        return {"": combined({str(path): known.of(path) for path in sheets})}


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


def rooted(job: Job[Any]) -> IndexParams:
    """The options of a job, with the root that its command line names."""
    options: IndexParams = job.params
    return options.model_copy(update={"root": str(job.input("root"))}) if job.inputs.get("root") else options


def run(job: Job[IndexParams]) -> None:
    """Write videos, expressions, issues and counts of one data set."""
    name = job.keys["dataset"]
    adapter, release, index = read_index(name, rooted(job))
    counts = compare(
        name,
        job.params.adapter or name,
        index,
        published=adapter.published(release),
        others=adapter.other_totals(release),
    )
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
        f"{len(index.exclusions)} excluded, {len(wrong)} differences to the published counts"
    )
