"""Where a method's class is looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.methods.find import find_method
from microexp.run.lock import USER_PATH

ROOT = Path(__file__).parents[2]
METHOD = """
import helper_of_mine
from microexp.methods.recognition.majority import Majority

class Mine(Majority):
    def where(self):
        import late_helper_of_mine
        return helper_of_mine.WHERE + late_helper_of_mine.WHERE
"""


def write(folder, where):
    folder.mkdir(parents=True)
    (folder / "own_of_mine.py").write_text(METHOD)
    (folder / "helper_of_mine.py").write_text(f"WHERE = {where!r}\n")
    (folder / "late_helper_of_mine.py").write_text("WHERE = '!'\n")
    (folder / "numpy.py").write_text("raise RuntimeError('a file of the user stands before a library')\n")
    return folder


def found(cwd, **environment):
    """What a job of a run finds: Python with -P, in a process of its own."""
    code = "from microexp.methods.find import find_method as f\nimport sys\n"
    code += "m = f('recognition', 'own_of_mine:Mine')\nimport numpy\nprint(m.where(), numpy.__name__)"
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", USER_PATH)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=cwd, capture_output=True, text=True,
        env={**kept, "PYTHONPATH": str(ROOT / "src"), **environment},
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.long
def test_the_user_s_path_comes_after_the_libraries_and_the_working_folder_last(tmp_path):
    first, second, here = (write(tmp_path / name, name) for name in ("first", "second", "here"))
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    assert found(here) == "here! numpy"
    assert found(here, **{USER_PATH: f"{first}{os.pathsep}{second}"}) == "first! numpy"
    assert found(nowhere, **{USER_PATH: f"{nowhere}{os.pathsep}{second}"}) == "second! numpy"
    assert "No module named 'own_of_mine'" in found(nowhere)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mdmll", "did you mean 'mdml'"),
        ("no_such_package.net:Net", "ModuleNotFoundError: No module named 'no_such_package'.*PYTHONPATH"),
        ("microexp.methods.recognition.majority:Net", "AttributeError.*Net"),
        ("microexp.methods.recognition.majority:shares", "a subclass of .*RecognitionMethod"),
        ("microexp.methods.spotting.random_intervals:RandomIntervals", "a subclass of .*RecognitionMethod"),
        ("microexp.methods.recognition.base:RecognitionMethod", "fit, from_bytes, predict, to_bytes not defined"),
    ],
)
def test_what_is_no_method_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        find_method("recognition", name)
    assert "\n" not in str(caught.value)
