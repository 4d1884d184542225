"""Who is the same person in two data sets."""

from __future__ import annotations

import pytest

from microexp.methods.people import groups_of, same_person


@pytest.mark.parametrize(
    ("adapters", "more", "expected"),
    [
        ({"a": "casme2", "b": "smic"}, [], []),
        ({"a": "samm", "b": "samm_lv"}, [], [["a", "b"]]),
        ({"samm": None, "samm_lv": None}, [], [["samm", "samm_lv"]]),
        ({"once": "casme2", "twice": "casme2", "c": "smic"}, [], [["once", "twice"]]),
        ({"a": "folder", "b": "smic"}, [["a", "b"]], [["a", "b"]]),
        ({"a": "samm", "b": "samm_lv", "c": "smic"}, [["b", "c"]], [["b", "c", "a"]]),
        ({"a": "x", "b": "y", "c": "z", "d": "w"}, [["a", "b"], ["c", "d"], ["b", "c"]], [["a", "b", "c", "d"]]),
    ],
)
def test_groups(adapters, more, expected):
    found = groups_of(list(adapters), adapters, more)
    assert [sorted(group) for group in found] == [sorted(group) for group in expected]
    assert found == groups_of(list(adapters), adapters, more)


def test_each_data_set_is_in_one_group_at_most():
    adapters = {"a": "samm", "b": "samm_lv", "c": "samm", "d": "casme2", "e": "casme2"}
    found = groups_of(list(adapters), adapters, [["a", "d"], ["z", "y"]])
    names = [name for group in found for name in group]
    assert len(names) == len(set(names)) and {"a", "b", "c", "d", "e"} in map(set, found)


def test_same_names_are_the_same_person_inside_a_group_alone():
    groups = [["a", "b"], ["c", "d"]]
    assert same_person("a", "s1", groups) == same_person("b", "s1", groups)
    assert len({same_person(d, "s1", groups) for d in "abcde"}) == 3
    assert same_person("a", "s1", groups) != same_person("b", "s2", groups)
    assert same_person("a", "s1", []) != same_person("b", "s1", [])
