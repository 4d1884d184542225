"""The one door for files: everything that microexp writes goes through here, text made safe for other programs.

A file is written under a unique temporary name in its own folder, flushed to disk and renamed, so a final name never
holds half a file. Shards are in `shard_files`, the record beside each result in `provenance`.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import itertools
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from microexp.errors import UserError

# Text from sheets, folders and configurations on its way into files that programs interpret.
#
# A spreadsheet program runs a cell that begins like a formula, a Markdown page shows raw HTML, LaTeX runs commands.
# What comes from outside is made plain text in each of them; what is plain already stays as it is.

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that spreadsheet programs may take for a formula; a tab or line break before it is passed over."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": r"\\", "|": r"\|"}
_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}


def csv_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet program takes for a formula: with an apostrophe before it where needed.

    `from_csv` takes the apostrophe away again, so that what stages hand to each other stays what it was.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_csv(cell: str) -> str:
    """What `csv_cell` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def one_row(text: str) -> str:
    """`text` without line breaks and other control characters, which would end a row or a comment."""
    return _CONTROL.sub(" ", text)


def markdown_text(text: str) -> str:
    """`text` as Markdown that shows it: no HTML, no links, no cell's end."""
    return "".join(_MARKDOWN.get(c, c) for c in one_row(text)).replace("](", r"]\(").replace("][", r"]\[")


def latex_text(text: str) -> str:
    """`text` as LaTeX that prints it."""
    return "".join(_LATEX.get(c, c) for c in one_row(text))


TEMPORARY = ".microexp-tmp-"
OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Errors that only writing meets; all others may be of an input that is read meanwhile."""


class Damaged(UserError):
    """A file with content that is proved wrong: only such a file may be deleted on its own account."""


class Unreadable(UserError):
    """A file that the system did not let us read: nothing is known of its content."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`, on failure removed.

    Raises:
        UserError: when the folder cannot be written or the disk is full. An error of another file passes through.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with blamed_on(path):
            _make_folder(path.parent)
        try:
            yield temporary
        except OSError as error:
            if str(error.filename) != str(temporary) and (error.filename or error.errno not in OF_WRITING):
                raise
            raise not_written(path, error) from error
        with blamed_on(path):
            _fsync(temporary)
            temporary.replace(path)
            _fsync(path.parent)
    finally:
        with suppress(OSError):  # a read-only file system says so, even of a file that was never there
            temporary.unlink()


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that is gone afterwards; what a killed job leaves goes with the next run.

    Raises:
        UserError: when the folder cannot be made.
    """
    folder = _temporary(Path(path))
    with blamed_on(folder):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}")


def check_not_read(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write a file that is read, whatever its path or link is called.

    Raises:
        UserError: naming the file on both sides.
    """
    inputs = list(inputs)
    for output in outputs:
        for path in inputs:
            if _is_same_file(output, path):
                raise UserError(file=output, problem=f"is read as {path}", expected="another file to write")


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)


def not_written(path: Path, error: OSError) -> UserError:
    """The error for a file that cannot be written."""
    return UserError(
        file=path, problem=error.strerror or error, expected="a folder that can be written and room on the disk"
    )


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """For what does nothing but write `path`: any error of the system is one of writing it."""
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


def _make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it; a new folder is on disk only when the one above it is."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _fsync(made.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary, blamed_on(Path(path)):
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """`value` as indented JSON with sorted keys, numpy's numbers and arrays as plain ones."""
    return json.dumps(value, indent=1, sort_keys=True, default=_plain) + "\n"


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under a header; None becomes an empty field, floats keep every digit (`repr`).

    Text that a spreadsheet program would run as a formula gets an apostrophe before it, which `read_csv` takes away.
    """
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for row in itertools.chain([columns], rows):  # one at a time: a table may be as long as a video
            line = _row(row)
            with blamed_on(Path(path)):
                file.write(line)
        with blamed_on(Path(path)):
            file.flush()


def _row(values: Iterable[object]) -> str:
    """A line of a CSV; `csv` puts what breaks lines into quotes only when it is part of its own line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_field(v) for v in values])
    return text.getvalue()[:-2] + "\n"


def _field(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, (np.floating, float)):
        return repr(float(value))
    return csv_cell(value) if isinstance(value, str) else value


def read_csv(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV as text by column name.

    Raises:
        UserError: when the file is missing, is not text, or lacks one of `columns`.
    """
    return list(csv_rows(path, columns))


def csv_rows(path: str | Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of `read_csv` one by one, for tables that are as long as a video."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in columns if c not in (reader.fieldnames or [])]
            if missing:
                raise UserError(
                    file=path,
                    where="header",
                    problem=",".join(reader.fieldnames or []) or "nothing",
                    expected=" and ".join(f"a column {name!r}" for name in missing),
                )
            _check_once(path, reader.fieldnames or [], columns)
            for number, row in enumerate(reader, 2):
                if None in row or any(v is None for v in row.values()):
                    raise UserError(
                        file=path,
                        where=f"row {number}",
                        problem="another number of fields",
                        expected=f"{len(row)} fields as in the header",
                    )
                yield {name: from_csv(cell) for name, cell in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(file=path, problem=error, expected="a readable CSV file in UTF-8") from error


def _check_once(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raise when the header gives one of `columns` again: which one is meant cannot be told."""
    again = next((name for name in columns if header.count(name) > 1), None)
    if again is not None:
        raise UserError(file=path, where="header", problem=f"a column {again!r} twice", expected="each column once")


def unreadable(path: Path, error: Exception) -> Unreadable:
    """The error for a file that the system does not let us read."""
    return Unreadable(
        file=path,
        problem=f"cannot be read ({getattr(error, 'strerror', None) or error})",
        expected="a file that the system lets us read",
        hint="nothing is known of its content: do not delete it on this account",
    )


def damaged(path: Path, problem: str) -> Damaged:
    """The error for a file with content that is proved wrong."""
    return Damaged(file=path, problem=problem, hint="delete it and run again")


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


# What a file of somebody else may cost, checked before it is read.

MODEL_BYTES = 1 << 30
"""Models, checkpoints and weights: I3D has 50 MB, the networks that are shipped have less."""
SERIES_BYTES = 1 << 29
"""Features and series of other programs, for one video."""


def check_size(path: Path, most: int, what: str) -> None:
    """Refuse a file that is larger than what it should hold, or that would be when unpacked.

    Args:
        path: the file; a zip archive (npz, files of torch) is judged by what its entries unpack to.
        most: bytes.
        what: it should be, for the message.

    Raises:
        UserError: when it is larger, or the system does not let us look at it.
    """
    try:
        size = path.stat().st_size
        if size <= most and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
    except zipfile.BadZipFile:
        return  # whoever reads it says so
    except OSError as error:
        raise UserError(file=path, problem=error.strerror or error, expected=what) from error
    if size > most:
        raise UserError(file=path, problem=f"{size} bytes", expected=f"{what} of at most {most} bytes")
