import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.run.workflow import words

ODD = st.text(alphabet="ab,{}'\" $\\~*.é", min_size=1, max_size=4).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(st.lists(ODD, min_size=1, max_size=4).map("/".join), max_size=12)


def expanded(text: str) -> list[str]:
    show = f'set -- {text}\nprintf \'%s\\0\' "$#" "$@"'
    shown = subprocess.run(["bash", "-c", show], capture_output=True, check=True).stdout.decode()
    count, *found, end = shown.split("\0")
    assert int(count) == len(found) and end == ""
    return found


@settings(max_examples=40, deadline=None)
@given(PATHS)
def test_bash_expands_the_words_to_the_paths_in_their_order(paths: list[str]) -> None:
    assert expanded(words(paths)) == paths


@pytest.mark.parametrize("place", [0, 1, 2])
def test_paths_that_differ_in_one_folder_share_a_word(place: int) -> None:
    parts = [["results", "a fold", "x,y.csv"] for _ in range(500)]
    for number, path in enumerate(parts):
        path[place] = f"{{s{number}}} z"
    paths = ["/".join(path) for path in parts]
    assert len(words(paths)) < 500 * 15
    assert expanded(words(paths)) == paths
    assert expanded(words([f"/{path}" for path in paths])) == [f"/{path}" for path in paths]


def test_doubles_and_single_paths_stay() -> None:
    paths = ["a/b", "a/b", "a/c", "d", "a/b/c", "~/x"]
    assert expanded(words(paths)) == paths
    assert words([]) == ""
    assert expanded(words(["\\", ","])) == ["\\", ","]
