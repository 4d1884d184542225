import pickle

from hypothesis import given
from hypothesis import strategies as st

from microexp.errors import UserError, one_line


def test_line_names_file_place_and_expectation():
    error = UserError(
        file="sheet.xlsx", where="row 3, onset", got="'x'", expected="a frame number", hint="open it and look"
    )
    assert str(error) == "sheet.xlsx: row 3, onset: got 'x', expected a frame number (open it and look)"


def test_absent_parts_leave_no_empty_punctuation():
    assert str(UserError(file="a.csv", problem="no such file")) == "a.csv: no such file"
    assert str(UserError(expected="one data set")) == "expected one data set"


@given(st.text())
def test_one_line_is_one_printable_line(text):
    line = one_line(text)
    assert "\n" not in line and len(line) <= 1000
    assert all(c.isprintable() for c in line)


def test_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(UserError(file="f", where="w", got="g", expected="e", hint="h")))
    assert str(error) == "f: w: got g, expected e (h)"


def test_an_error_of_the_system_is_said_without_number_and_without_the_name_twice():
    missing = FileNotFoundError(2, "No such file or directory", "a.csv")
    assert str(UserError(file="a.csv", problem=missing)) == "a.csv: No such file or directory"
    assert str(UserError(file="a.csv", problem=OSError(5, "Input/output error"))) == "a.csv: Input/output error"
    other = UserError(file="results", problem=missing)
    assert "a.csv" in str(pickle.loads(pickle.dumps(other))), "another file than the one that is named"
