"""What a stage is: a step of the pipeline, which is at once a module, a sub-command and a Snakemake rule.

Each stage module has the same parts in the same order: its parameters (a frozen pydantic model in the package's
`params.py`), pure functions on arrays, `run(job)`, and `STAGE`, which names its files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Base of all options: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Job(Generic[P]):
    """One run of a stage: what may change the result is in `inputs`, `params` and `keys`, not in threads and device."""

    inputs: Mapping[str, list[Path]]
    outputs: Mapping[str, Path]
    params: P
    keys: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    device: str = "auto"

    def input(self, name: str) -> Path:
        """The one file of input `name`."""
        (path,) = self.inputs[name]
        return path

    def output(self, name: str) -> Path:
        """The file to write for output `name`."""
        return self.outputs[name]


@dataclass(frozen=True)
class Stage(Generic[P]):
    """A step of the pipeline.

    Attributes:
        name: sub-command and rule.
        summary: one line for `--help`.
        params: its options.
        inputs: name -> help. A name ending in `*` takes any number of files, one ending in `?` none or one
            (the mark is not part of the key in `Job.inputs`).
        outputs: name -> help.
        run: does the work; returns what else belongs into the provenance (device, weights …), or None.
        keys: name -> help of plain strings that say which unit is worked on (`subject`, `fold`).
    """

    name: str
    summary: str
    params: type[P]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    run: Callable[[Job[P]], Mapping[str, Any] | None]
    keys: Mapping[str, str] = field(default_factory=dict)
