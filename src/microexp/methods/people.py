"""Who is the same person in two data sets: nobody may be trained on and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SAME_PEOPLE = {"samm_lv": "samm"}
"""Adapter -> the adapter with whose release it shares its subjects: SAMM Long Videos were filmed with SAMM's people."""


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


def same_person(dataset: str, subject: str, groups: Sequence[Sequence[str]]) -> tuple[str, str]:
    """A name for the person behind `subject` of `dataset`: the same in all data sets of a group."""
    first = next((group[0] for group in groups if dataset in group), dataset)
    return first, subject
