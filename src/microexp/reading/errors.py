"""The error of a video that cannot be used, against the errors of the system that reads it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from microexp.errors import UserError
from microexp.run.storage import file_sha256


class BadVideo(UserError):
    """A video that is damaged or empty and can be excluded; that reading fails (network, rights) is another thing."""


MAX_PIXELS = 89_000_000
"""Pixels of the largest frame that is decoded."""


def too_large(path: Path, width: int, height: int) -> BadVideo:
    """The error of a frame that would take gigabytes to decode."""
    return BadVideo(file=path, problem=f"a frame of {width}x{height} px", expected="at most 89 million pixels")


def unreadable(path: Path, error: OSError, expected: str) -> UserError:
    """What the system said of `path`; only a link to nowhere is the video's own fault."""
    what = error.strerror or (os.strerror(error.errno) if error.errno else error)
    kind = BadVideo if path.is_symlink() and not path.exists() else UserError
    return kind(file=path, problem=what, expected=expected)


def undecodable(path: Path, error: Exception, expected: str) -> UserError:
    """Damage, as the decoder says it, or a failure of the system: FFmpeg has the same words for some of both."""
    if isinstance(error, OSError) and error.errno not in (errno.EIO, errno.EPERM, errno.EINVAL):
        return unreadable(path, error, expected)
    if isinstance(error, OSError):
        try:
            file_sha256(path)  # reads it all
        except OSError as failure:
            return unreadable(path, failure, expected)
    return BadVideo(file=path, problem=getattr(error, "strerror", "damaged text"), expected=expected)
