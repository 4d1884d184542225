"""How identity is removed from the onset-apex maps before a network sees them."""

from __future__ import annotations

from dataclasses import replace

from microexp.recognition.clips import Clips
from microexp.recognition.params import MdmlParams


def remove_identity(clips: Clips, options: MdmlParams) -> tuple[Clips, MdmlParams]:
    """The clips' maps after identity removal, and the options with the streams that are left."""
    return replace(clips), options
