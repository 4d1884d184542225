"""What a file of somebody else may cost, checked before it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path

from microexp.errors import UserError

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
