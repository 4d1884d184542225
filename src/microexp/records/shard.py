"""What all shards have in common: what a kind declares, and the one way to open, check and make a file of it.

A shard is an HDF5 file `…/{stage}/{dataset}/{subject}.h5` with the attributes `dataset`, `subject` and `stage`, and a
group per video. A group has the attribute `excluded`: empty, or the reason why the video cannot be used; then it holds
no arrays. A module per kind declares the rest as data, which `microexp verify` checks and the documentation lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from microexp.errors import UserError
from microexp.run import provenance, shard_files
from microexp.run.names import AGAIN, check_identity

if TYPE_CHECKING:
    import h5py

Size = int | str | tuple[int, ...]
LAYOUT = "{dataset}/{subject}.h5"
TEXT = "text"
AS: Mapping[str, Any] = {"int": int, "float": float, TEXT: str}
TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int, np.integer),
    "float": (int, float, np.integer, np.floating),
    TEXT: (str,),
}


@dataclass(frozen=True)
class Attribute:
    """A single value.

    Attributes:
        type: `int`, `float` or `text`.
        about: what it is, with its unit.
        needed: `always`, `usable` (excluded videos lack it) or `sometimes`.
    """

    type: str
    about: str
    needed: str = "usable"


@dataclass(frozen=True)
class Array:
    """An array of a kind of shard.

    Attributes:
        shape: numbers; or names, of which equal ones are equal numbers within a group (a name may be that of an
            integer attribute; `T-1` is one less than `T`, and 0 when `T` is 0); or the numbers that are allowed.
        dtype: numpy's name of it, or `text`.
        about: what it holds, with its unit.
        optional: whether it may be missing.
        attributes: those of the array itself.
    """

    shape: tuple[Size, ...]
    dtype: str
    about: str
    optional: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of shard.

    Attributes:
        stage: that makes it; the folder of its files.
        about: one line.
        arrays: of each video, or of the file when it is not `per_video`.
        attributes: the same.
        per_video: whether there is a group per video.
        identity: attributes of the file that say what it is.
        layout: form of the end of its path, in which they occur again.
    """

    stage: str
    about: str
    arrays: Mapping[str, Array]
    attributes: Mapping[str, Attribute]
    per_video: bool = True
    identity: tuple[str, ...] = ("dataset", "subject", "stage")
    layout: str = LAYOUT


@dataclass(frozen=True)
class Subject:
    """Whom a shard is of."""

    dataset: str
    subject: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.subject}"

    @classmethod
    def of_path(cls, path: Path) -> Subject:
        """As a path `…/{dataset}/{subject}.h5` says."""
        return cls(path.parent.name, path.stem)


class Lazy(Protocol):
    """An array that stays in its file; a slice of it is a numpy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...


# --- checking ---------------------------------------------------------------------------------------------------------


def check_shard(file: h5py.File, path: Path, kind: Kind) -> Subject:
    """Whom an open shard is of, after a look at whether it is what its path and its kind promise.

    Raises:
        UserError: naming the file when it is of another kind, of somebody else, older, or lacks something.
    """
    found = {name: str(file.attrs[name]) for name in kind.identity if name in file.attrs}
    if len(found) < len(kind.identity):
        raise UserError(
            file=path,
            problem=f"an older or foreign file, which does not say its {', '.join(kind.identity)}",
            expected=f"a file of the stage {kind.stage}",
            hint=AGAIN,
        )
    if found.get("stage", kind.stage) != kind.stage:
        raise UserError(
            file=path,
            problem=f"a file of the stage {found['stage']}",
            expected=f"one of the stage {kind.stage}",
            hint=AGAIN,
        )
    check_identity(path, found, kind.layout)
    for name, group in file.items() if kind.per_video else [("", file)]:
        wrong = group_problem(group, kind)
        if wrong:
            raise UserError(file=path, where=name or None, problem=wrong, hint=AGAIN)
    return Subject(found["dataset"], found["subject"])


def group_problem(group: h5py.Group, kind: Kind) -> str | None:
    """What a video's group (or a shard without groups) has that its kind does not promise; None when it is right."""
    attributes = dict(group.attrs)  # each access to HDF5 takes a while
    if kind.per_video and "excluded" not in attributes:
        return "the attribute excluded is missing"
    excluded = kind.per_video and str(attributes["excluded"]) != ""
    wrong = _attribute_problem(attributes, kind.attributes, excluded)
    if wrong or excluded:
        return wrong or (f"is excluded, but holds {next(iter(group))}" if len(group) else None)
    known = {n: int(attributes[n]) for n, a in kind.attributes.items() if a.type == "int" and n in attributes}
    present = set(group)
    for name, array in sorted(kind.arrays.items(), key=lambda item: _derived(item[1])):
        if name in present:
            wrong = _array_problem(name, group[name], array, known)
            if wrong:
                return wrong
        elif not array.optional:
            return f"{name} is missing"
    return None


def _derived(array: Array) -> bool:
    return any(str(size).endswith("-1") for size in array.shape)


def _attribute_problem(attributes: Mapping[str, Any], promised: Mapping[str, Attribute], excluded: bool) -> str | None:
    for name, attribute in promised.items():
        if name not in attributes:
            if attribute.needed == "always" or (attribute.needed == "usable" and not excluded):
                return f"the attribute {name} is missing"
            continue
        value = attributes[name]
        if not isinstance(value, TYPES[attribute.type]):
            return f"the attribute {name} is {value!r}, expected {attribute.type}"
    return None


def _array_problem(name: str, data: Any, array: Array, known: dict[str, int]) -> str | None:
    import h5py

    if not isinstance(data, h5py.Dataset):
        return f"{name} is no array"
    shape, dtype = data.shape, data.dtype
    fits = len(shape) == len(array.shape)
    if not fits or not all(_fits(n, size, known) for n, size in zip(shape, array.shape, strict=True)):
        return f"{name} has shape {shape}, expected {shape_text(array.shape)}"
    dtype = TEXT if h5py.check_string_dtype(dtype) is not None else str(dtype)
    if dtype != array.dtype:
        return f"{name} holds {dtype}, expected {array.dtype}"
    wrong = _attribute_problem(data.attrs, array.attributes, excluded=False) if array.attributes else None
    return f"{name}: {wrong}" if wrong else None


def _fits(number: int, size: Size, known: dict[str, int]) -> bool:
    if isinstance(size, int):
        return number == size
    if isinstance(size, tuple):
        return number in size
    longer = size.removesuffix("-1")
    if longer != size and longer in known:
        return number == max(0, known[longer] - 1)
    return known.setdefault(size, number) == number


def shape_text(shape: tuple[Size, ...]) -> str:
    """A shape as people write it: `(T, S, S, 1 or 3)`."""
    sizes = [" or ".join(map(str, s)) if isinstance(s, tuple) else str(s) for s in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


# --- reading ----------------------------------------------------------------------------------------------------------


class Stored:
    """One video of a shard; its arrays are in the file until they are asked for, and only while the shard is open.

    A kind of shard is a subclass with a property for each attribute and array.
    """

    KIND: ClassVar[Kind]

    def __init__(self, group: h5py.Group, path: Path) -> None:
        self.group = group
        self.path = path

    @property
    def video(self) -> str:
        """Its name."""
        return str(self.group.name).strip("/")

    @property
    def excluded(self) -> str:
        """Why the video cannot be used; empty when it can."""
        return str(self.group.attrs["excluded"])

    def value(self, name: str) -> Any:
        """The attribute `name` as the type that its kind declares."""
        return AS[self.KIND.attributes[name].type](self.group.attrs[name])

    def array(self, name: str) -> h5py.Dataset:
        """The array `name`, in the file.

        Raises:
            UserError: when the video is excluded.
        """
        if self.excluded:
            raise UserError(file=self.path, where=self.video, problem=f"excluded: {self.excluded}")
        return self.group[name]


V = TypeVar("V", bound=Stored)


class Shard(Mapping[str, V]):
    """An open shard: name of a video -> its record, in the order in which they were written."""

    def __init__(self, file: h5py.File, path: Path, subject: Subject, *, record: type[V]) -> None:
        self.file, self.path, self.subject, self._record = file, path, subject, record

    def __getitem__(self, video: str) -> V:
        return self._record(self.file[video], self.path)

    def __contains__(self, video: object) -> bool:
        return video in self.file

    def __iter__(self) -> Iterator[str]:
        return iter(self.file)

    def __len__(self) -> int:
        return len(self.file)

    def need(self, video: str) -> V:
        """The record of a video that another shard has.

        Raises:
            UserError: when there is none.
        """
        if video not in self:
            raise UserError(
                file=self.path,
                where=f"video {video}",
                problem="no such video",
                hint=f"run the stage {self._record.KIND.stage} again",
            )
        return self[video]

    def usable(self, video: str) -> V | None:
        """The record of a video, or None when it is missing or excluded."""
        found = self.get(video)
        return None if found is None or found.excluded else found


@contextmanager
def open_file(path: Path, kind: Kind) -> Iterator[tuple[h5py.File, Subject]]:
    """Open a shard of a kind, and tell whom it is of.

    Raises:
        UserError: when it is missing, damaged, without its provenance, or not what `check_shard` expects.
    """
    with shard_files.open_shard(path) as file:
        provenance.read_provenance(path)  # a result without its record may be anything
        yield file, check_shard(file, path, kind)


@contextmanager
def open_videos(path: Path, record: type[V], of: Subject | None = None) -> Iterator[Shard[V]]:
    """Open a shard with a group per video.

    Args:
        path: the file.
        record: its kind.
        of: whom it has to be of, since it is read together with others; None takes anybody's.

    Raises:
        UserError: see `open_file`; also when it is of somebody else.
    """
    with open_file(path, record.KIND) as (file, subject):
        if of is not None and subject != of:
            raise UserError(
                file=path, problem=f"a file of {subject}", expected=f"one of {of}, as the others that it is read with"
            )
        yield Shard(file, path, subject, record=record)


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def create_file(path: Path, kind: Kind, subject: Subject, **more: str) -> Iterator[h5py.File]:
    """A new shard of a kind, which appears under its name when the block has written what its kind promises.

    Args:
        path: the file.
        kind: what it is to hold.
        subject: whom it is of.
        more: what else says what it is.

    Raises:
        UserError: when its path says something else than `subject`, or it cannot be written.
        ValueError: when something is missing or has another shape or type than declared.
    """
    identity = {"dataset": subject.dataset, "subject": subject.subject, "stage": kind.stage, **more}
    check_identity(path, identity, kind.layout)
    with shard_files.create_shard(path) as file:
        shard_files.set_attributes(file, identity)
        yield file
        for name, group in file.items() if kind.per_video else [("", file)]:
            wrong = group_problem(group, kind)
            if wrong:
                raise ValueError(f"{path}: {name}: {wrong}")


class Writer(Generic[V]):
    """A shard in the making, with a group per video."""

    def __init__(self, file: h5py.File, record: type[V]) -> None:
        self.file, self.kind = file, record.KIND

    def exclude(self, video: str, reason: str, **attributes: object) -> None:
        """Say why a video cannot be used; `attributes` are those that are known even so."""
        shard_files.set_attributes(self.file.create_group(video), {**attributes, "excluded": reason})

    def add(self, video: str, arrays: Mapping[str, np.ndarray], **attributes: object) -> None:
        """Write a video from arrays in memory."""
        group = self.file.create_group(video)
        for name, array in arrays.items():
            shard_files.add_array(group, name, array)
        shard_files.set_attributes(group, {**attributes, "excluded": ""})


@contextmanager
def create_videos(path: Path, record: type[V], subject: Subject) -> Iterator[Writer[V]]:
    """Make a shard with a group per video; errors as of `create_file`."""
    with create_file(path, record.KIND, subject) as file:
        yield Writer(file, record)


class Growing:
    """An array of known length that is written piece by piece, so that no long video is ever held in memory.

    Args:
        data: the array in the file; axis 0 grows.
    """

    def __init__(self, data: h5py.Dataset) -> None:
        self.data = data
        self.written = 0

    def append(self, batch: np.ndarray) -> None:
        """Write the next entries (n, …).

        Raises:
            ValueError: when they have another type or shape, or are more than there is room for.
        """
        stop = self.written + len(batch)
        if batch.dtype != self.data.dtype or batch.shape[1:] != self.data.shape[1:] or stop > len(self.data):
            raise ValueError(f"{self.data.name}: {batch.dtype} {batch.shape} after {self.written} of {self.data.shape}")
        if len(batch):
            self.data[self.written : stop] = batch
        self.written = stop

    def finish(self) -> None:
        """Say that nothing comes after this.

        Raises:
            ValueError: when something is missing.
        """
        if self.written != len(self.data):
            raise ValueError(f"{self.data.name}: {self.written} of {len(self.data)} entries were written")
