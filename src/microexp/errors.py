"""The one kind of error that a user can correct; everything else is a bug and keeps its traceback."""

from __future__ import annotations


class UserError(Exception):
    """A problem with what the user gave: printed as one line, exit status 2.

    Args:
        file: file or folder that holds the problem, as the user knows it.
        where: row, field, key or video inside it.
        problem: what is wrong, in words (`no such folder`); or
        got: the value that was found.
        expected: what should be there.
        hint: what to do about it.
    """

    def __init__(
        self,
        *,
        file: object = None,
        where: object = None,
        problem: object = None,
        got: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        self.file, self.where, self.problem, self.got = file, where, problem, got
        self.expected, self.hint = expected, hint
        super().__init__(self._line())

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (self.file, self.where, self.problem, self.got, self.expected, self.hint))

    @property
    def what(self) -> str:
        """What is wrong, without its place: `no such folder`, or `got 3`."""
        if isinstance(self.problem, OSError) and str(self.problem.filename or self.file) == str(self.file):
            return self.problem.strerror or str(self.problem)  # without its number and the file's name once more
        return str(self.problem) if self.problem is not None else "" if self.got is None else f"got {self.got}"

    def _line(self) -> str:
        parts = [str(p) for p in (self.file, self.where) if p is not None]
        what = self.what
        if self.expected is not None:
            what += ("; " if self.problem is not None else ", " if what else "") + f"expected {self.expected}"
        line = ": ".join([*parts, what] if what else parts) + (f" ({self.hint})" if self.hint else "")
        return one_line(line)


def _rebuilt(
    file: object, where: object, problem: object, got: object, expected: object, hint: str | None
) -> UserError:
    return UserError(file=file, where=where, problem=problem, got=got, expected=expected, hint=hint)


def reason_of(error: UserError) -> str:
    """What is wrong, without the folder, so that results do not depend on where the data lies."""
    name = str(error.file).rpartition("/")[2] if error.file is not None else None
    return str(UserError(file=name, where=error.where, problem=error.problem, got=error.got, expected=error.expected))


def one_line(text: str, limit: int = 1000) -> str:
    """`text` with control characters escaped and cut to `limit` characters: data from files never breaks a log."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
