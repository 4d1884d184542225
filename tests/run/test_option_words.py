"""Options that do not fit their model: one line that names the key, and says in words what belongs there."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from microexp.errors import UserError
from microexp.run.stage import Params, validate


class Task(Params):
    datasets: list[str] = Field(min_length=1)
    kind: Literal["micro", "macro"] = "micro"


class Model(Params):
    task: Task
    times: int = Field(1, ge=1)
    face: Literal["left", "right"] | Annotated[int, Field(ge=1)] = "left"
    tasks: dict[str, list[Task]] = Field({})


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"task": {"datasets": ["a"]}, "times": 0}, "times: got 0, expected a value greater than or equal to 1"),
        ({"task": {"datasets": ["a"]}, "times": "x"}, "times: got 'x', expected a valid integer"),
        ({"task": {"datasets": ["a"]}, "times": 1.5}, "times: got 1.5, expected a valid integer, got a number with a"),
        ({"task": {"datasets": []}}, "task.datasets: got [], expected at least 1 item, not 0"),
        ({"task": {"datasets": ["a"], "kind": "both"}}, "task.kind: got 'both', expected 'micro' or 'macro'"),
        ({"task": 3}, "task: got 3, expected a valid dictionary"),
        ({}, "task: missing; expected a value"),
        ({"task": {"datasets": ["a"]}, "face": "up"}, "face: got 'up', expected 'left' or 'right', or a valid integer"),
        ({"task": {"datasets": ["a"]}, "tasks": {"x": [{"kind": "x"}]}}, "tasks.x.0.datasets: missing; expected a"),
    ],
)
def test_what_is_expected_is_said_in_words(data: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as error:
        validate(Model, data, "c.yaml")
    assert str(error.value).startswith(f"c.yaml: {line}")


def test_an_unknown_key_comes_before_what_is_missing_at_any_depth() -> None:
    with pytest.raises(UserError, match=r"task\.data_sets: an unknown option \(did you mean 'datasets'\?\)"):
        validate(Model, {"task": {"data_sets": ["a"]}}, "c.yaml")
