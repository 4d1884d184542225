"""What is to be recognised: options that say which expressions, and as what."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from microexp.reading.rows import emotion
from microexp.run.names import each_once
from microexp.run.stage import Params


class RecognitionTask(Params):
    """Which expressions are to be recognised, and as what."""

    datasets: Annotated[list[str], AfterValidator(each_once)] = Field(
        min_length=1, description="Data sets; each of their subjects is a fold."
    )
    target: Literal["emotion", "action_units"] = Field(
        "emotion",
        description="What is recognised: one class of emotions per expression, or its action units (no `classes`, no "
        "`protocol`; expressions without a unit in the sheet are excluded).",
    )
    classes: dict[str, list[str]] | None = Field(
        None, min_length=2, description="Class -> emotions that belong to it; other emotions are excluded."
    )
    protocol: str | None = Field(None, description="Name of a published choice of classes, instead of `classes`.")
    kinds: list[Literal["micro", "macro"]] = Field(
        ["micro"], min_length=1, description="Kinds of expression to recognise."
    )

    @field_validator("classes")
    @classmethod
    def _spell(cls, classes: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        """Emotions as the index spells them: `Happy` is happiness here as in a sheet."""
        return classes and {name: [emotion(e) for e in emotions] for name, emotions in classes.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target == "action_units":
            if self.classes is not None or self.protocol is not None:
                raise ValueError("target action_units has neither classes nor a protocol")
        elif (self.classes is None) == (self.protocol is None):
            raise ValueError("needs either classes or a protocol")
        emotions = [e for members in (self.classes or {}).values() for e in members]
        again = [e for number, e in enumerate(emotions) if e in emotions[:number]]
        if again:
            raise ValueError(f"classes with each emotion once, and {again[0]!r} is there twice")
        return self


class TaskParams(RecognitionTask):
    """A task that knows how its data sets were read."""

    adapters: dict[str, str] = Field({}, description="Data set -> adapter that read it, for protocols.")
