"""A wrong option is one line that names its key, however deep it lies."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from microexp.errors import UserError
from microexp.run.stage import validate


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Closed):
    size_px: int = Field(32, ge=16)
    mode: Literal["fast", "exact"] = "fast"

    @field_validator("size_px")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("An even number")
        return value


class Options(Closed):
    name: str
    inner: Inner = Inner()
    maybe: Inner | None = None
    each: dict[str, Inner] = Field(default_factory=dict)
    many: list[Inner] = Field(default_factory=list)


def problem(data: dict[str, Any], where: str = "") -> str:
    with pytest.raises(UserError) as error:
        validate(Options, {"name": "x", **data}, "c.yaml", where=where)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_fits_is_taken() -> None:
    found = validate(Options, {"name": "x", "each": {"a": {"size_px": 64}}, "maybe": None}, "c.yaml")
    assert found.each["a"].size_px == 64 and found.maybe is None and found.inner.mode == "fast"


PLACES: dict[str, Any] = {
    "inner": lambda options: {"inner": options},
    "maybe": lambda options: {"maybe": options},
    "each.first": lambda options: {"each": {"first": options}},
    "many.1": lambda options: {"many": [{}, options]},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_misspelt_option_is_told_what_it_may_mean(place: str) -> None:
    said = problem(PLACES[place]({"sise_px": 32}))
    assert said.startswith(f"c.yaml: {place}.sise_px: an unknown option") and "did you mean 'size_px'?" in said


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_option_is_told_which_there_are(place: str) -> None:
    said = problem(PLACES[place]({"zzz": 1}))
    assert said.startswith(f"c.yaml: {place}.zzz: ") and "known: mode, size_px" in said


@pytest.mark.parametrize("place", PLACES)
def test_a_value_out_of_bounds_is_shown_with_what_was_expected(place: str) -> None:
    assert problem(PLACES[place]({"size_px": 8})) == (
        f"c.yaml: {place}.size_px: got 8, expected a value greater than or equal to 16"
    )


@pytest.mark.parametrize("place", PLACES)
def test_a_check_of_our_own_speaks_without_pydantics_words(place: str) -> None:
    assert problem(PLACES[place]({"size_px": 17})) == f"c.yaml: {place}.size_px: got 17, expected an even number"


def test_the_place_stands_before_the_key() -> None:
    assert problem({"inner": {"size_px": 8}}, "crops").startswith("c.yaml: crops.inner.size_px: ")


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UserError, match=r"c\.yaml: faces\.name: missing; expected a value"):
        validate(Options, {}, "c.yaml", where="faces")


def test_a_choice_names_its_members() -> None:
    said = problem({"inner": {"mode": "quick"}})
    assert "inner.mode: got 'quick'" in said and "'fast' or 'exact'" in said


@pytest.mark.parametrize("value", [3, "text", ["a"], None])
def test_a_value_in_place_of_options_is_refused(value: object) -> None:
    assert problem({"inner": value}).startswith("c.yaml: inner")
