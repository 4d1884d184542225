"""Who is the same person in two data sets: nobody may be trained on and tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from microexp.run.names import WHOLE_DATASET

SAME_PEOPLE = {"samm_lv": "samm"}
"""Adapter -> the adapter with the same subjects: SAMM Long Videos were filmed with SAMM's people."""


def groups_of(
    datasets: Sequence[str], adapters: Mapping[str, str | None], more: Sequence[Sequence[str]] = ()
) -> list[list[str]]:
    """Groups of data sets in which the same subject name is the same person.

    Args:
        datasets: of the experiment, sources included.
        adapters: data set -> adapter that reads it; one that is not there has its own name's.
        more: further groups, as the user knows them; groups that overlap become one.
    """
    known: dict[str, list[str]] = {}
    for name in dict.fromkeys(datasets):
        adapter = adapters.get(name) or name
        known.setdefault(SAME_PEOPLE.get(adapter, adapter), []).append(name)
    merged: list[list[str]] = []
    for group in (*more, *(group for group in known.values() if len(group) > 1)):
        overlapping = [m for m in merged if set(m) & set(group)]
        joined = dict.fromkeys(name for m in (*overlapping, group) for name in m)
        merged = [m for m in merged if m not in overlapping] + [list(joined)]
    return merged


@dataclass(frozen=True)
class Sides:
    """Who is trained on and who is tested in a fold: nobody is on both sides, whatever the data sets call them.

    Attributes:
        held_out: data set and subject of the fold; `all` as the subject is the whole data set; None holds nobody out.
        tested: everybody who is tested, as `same_person` names them.
        train_on: data sets with the people to train on; empty: all of them.
        groups: data sets in which one subject name is one person.
    """

    held_out: tuple[str, str] | None
    tested: frozenset[tuple[str, str]] = frozenset()
    train_on: tuple[str, ...] = ()
    groups: Sequence[Sequence[str]] = ()

    @classmethod
    def of(
        cls,
        held_out: tuple[str, str] | None,
        subjects: Iterable[tuple[str, str]],
        groups: Sequence[Sequence[str]] = (),
        *,
        train_on: Sequence[str] = (),
    ) -> Sides:
        """The sides of a fold among all (data set, subject) of its experiment."""
        alone = cls(held_out)
        tested = {same_person(*s, groups) for s in subjects if alone.is_held_out(s)}
        if held_out is not None and held_out[1] != WHOLE_DATASET:
            tested.add(same_person(*held_out, groups))
        return cls(held_out, frozenset(tested), tuple(train_on), groups)

    def is_held_out(self, subject: tuple[str, str]) -> bool:
        """Whether the fold tests this subject of this data set."""
        if self.held_out is None:
            return False
        return subject[0] == self.held_out[0] and self.held_out[1] in (subject[1], WHOLE_DATASET)

    def is_training(self, subject: tuple[str, str]) -> bool:
        """Whether the subject may be trained and calibrated on: of a data set that is, and nobody who is tested."""
        return (not self.train_on or subject[0] in self.train_on) and (
            same_person(*subject, self.groups) not in self.tested
        )


def same_person(dataset: str, subject: str, groups: Sequence[Sequence[str]]) -> tuple[str, str]:
    """A name for the person behind `subject` of `dataset`: the same in all data sets of a group."""
    first = next((group[0] for group in groups if dataset in group), dataset)
    return first, subject
