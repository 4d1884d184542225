"""The one kind of error that a user can mend; everything else is a bug and keeps its traceback."""

from __future__ import annotations


class UserError(Exception):
    """A problem with what the user gave: printed as one line, exit status 2.

    Args:
        file: file or folder that holds the problem, as the user knows it.
        where: row, field, key or video inside it.
        got: what was found there.
        expected: what should stand there.
        hint: what to do about it.
    """

    def __init__(
        self,
        file: object = None,
        where: object = None,
        got: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        self.file, self.where, self.got, self.expected, self.hint = file, where, got, expected, hint
        super().__init__(self._line())

    def __reduce__(self) -> tuple[type[UserError], tuple[object, ...]]:
        return (type(self), (self.file, self.where, self.got, self.expected, self.hint))

    def _line(self) -> str:
        parts = [str(p) for p in (self.file, self.where) if p is not None]
        what = []
        if self.got is not None:
            what.append(f"got {self.got}")
        if self.expected is not None:
            what.append(f"expected {self.expected}")
        if what:
            parts.append(", ".join(what))
        line = ": ".join(parts) + (f" ({self.hint})" if self.hint else "")
        return one_line(line)


def reason_of(error: UserError) -> str:
    """What is wrong, without the folder, so that results do not depend on where the data lies."""
    name = str(error.file).rpartition("/")[2] if error.file is not None else None
    return str(UserError(name, error.where, error.got, error.expected))


def one_line(text: str, limit: int = 1000) -> str:
    """`text` with control characters escaped and cut to `limit` characters: data from files never breaks a log."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
