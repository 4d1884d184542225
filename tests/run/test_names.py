import pytest

from microexp.errors import UserError
from microexp.run.names import check_name, fold_name, split_fold


@pytest.mark.parametrize("name", ["s01", "006", "EP02_01f", "012_4_1", "CAS.ME"])
def test_names_of_the_field_pass(name):
    assert check_name(name, "video") == name


@pytest.mark.parametrize("name", ["", "../x", "a b", "$(x)", "a\nb", "-rf", ".hidden", "a/b", "a..b", "é", "x" * 101])
def test_hostile_names_are_refused_in_one_line(name):
    with pytest.raises(UserError) as caught:
        check_name(name, "row 7, Filename", "sheet.xlsx")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("sheet.xlsx: row 7, Filename: ")


def test_fold_names_round_trip():
    assert split_fold(fold_name("casme2", "sub05")) == ("casme2", "sub05")


@pytest.mark.parametrize("fold", ["casme2", "casme2-", "-sub05", "a-b-c", "a/b-c"])
def test_a_malformed_fold_is_refused(fold):
    with pytest.raises(UserError, match="dataset-subject"):
        split_fold(fold)
