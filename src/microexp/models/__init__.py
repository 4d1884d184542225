"""Models that travel with the package, each with a card beside it: what it was trained on, figures and limits."""

from pathlib import Path

from microexp.errors import UserError

SPOTTING = "spotting_motion"
ACTION_UNITS = "action_units"
SHIPPED = "shipped"
"""Names, in a configuration, the model that the package brings."""


def shipped(name: str) -> Path:
    """The file of a model that the package brings.

    Args:
        name: one of `SPOTTING` and `ACTION_UNITS`.

    Returns:
        Path of `NAME.safetensors`; its card is `NAME.md` beside it.

    Raises:
        UserError: the package has no such model.
    """
    path = Path(__file__).with_name(f"{name}.safetensors")
    if not path.is_file():
        raise UserError(file=path, problem="the package brings no such model", hint="`make models` trains them")
    return path
