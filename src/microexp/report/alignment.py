"""How well faces were found and aligned, as the stage `faces` measured it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from microexp.records.faces import Faces


@dataclass(frozen=True)
class Alignment:
    """Quality of the alignment of one video, or the worst of several.

    Attributes:
        scale_px: side of the crop in px of the source; a larger crop shows no more detail.
        jitter_px: noise of the landmarks from frame to frame, source px.
        misses: frames without a face, of those that were looked at.
        looked_at: frames in which a face was looked for.
        drift_px: largest motion of the transform itself, source px per frame.
    """

    scale_px: float
    jitter_px: float
    misses: int
    looked_at: int
    drift_px: float

    def cells(self) -> tuple[str, ...]:
        """The figures as text, in the order of `HEADINGS`."""
        return (
            f"{self.scale_px:.0f}",
            f"{self.jitter_px:.2f}",
            f"{self.misses} / {self.looked_at}",
            f"{self.drift_px:.2f}",
        )


HEADINGS = ("side of the crop, source px", "landmark jitter, px", "detector misses", "drift, px per frame")


def alignment_of(faces: Faces) -> Alignment:
    """That of a video that was not left out."""
    return Alignment(faces.scale_px, faces.jitter_px, faces.misses, faces.looked_at, faces.drift_px)


def worst_of(videos: Iterable[Faces]) -> Alignment | None:
    """The smallest scale, the largest jitter and drift, all misses; None when every video was left out."""
    found = [alignment_of(faces) for faces in videos if not faces.excluded]
    if not found:
        return None
    return Alignment(
        scale_px=min(a.scale_px for a in found),
        jitter_px=max(a.jitter_px for a in found),
        misses=sum(a.misses for a in found),
        looked_at=sum(a.looked_at for a in found),
        drift_px=max(a.drift_px for a in found),
    )
