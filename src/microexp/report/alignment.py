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
        motion: how far the head leaves its place, in sides of the crop: below .05 when it is held still, .1 to .25 when
            it is free, and above .3 something is wrong.
        n_faces: people in the picture.
        outside: share of the crop beyond the picture.
        valid: share of the frames that show the face in its place.
    """

    scale_px: float
    jitter_px: float
    misses: int
    looked_at: int
    drift_px: float
    motion: float
    n_faces: int
    outside: float
    valid: float

    def cells(self) -> tuple[str, ...]:
        """The figures as text, in the order of `HEADINGS`."""
        return (
            f"{self.scale_px:.0f}",
            f"{self.jitter_px:.2f}",
            f"{self.misses} / {self.looked_at}",
            f"{self.drift_px:.2f}",
            f"{self.motion:.2f}",
            str(self.n_faces),
            f"{self.outside:.0%}",
            f"{self.valid:.0%}",
        )


HEADINGS = (
    "side of the crop, source px",
    "landmark jitter, px",
    "detector misses",
    "drift, px per frame",
    "head motion, sides of the crop",
    "people in the picture",
    "crop beyond the picture",
    "frames with the face in its place",
)


def alignment_of(faces: Faces) -> Alignment:
    """That of a video that is not excluded."""
    return Alignment(
        scale_px=faces.scale_px,
        jitter_px=faces.jitter_px,
        misses=faces.misses,
        looked_at=faces.looked_at,
        drift_px=faces.drift_px,
        motion=faces.motion_px / faces.scale_px,
        n_faces=faces.n_faces,
        outside=faces.outside,
        valid=float(faces.valid.mean()),
    )


def worst_of(videos: Iterable[Faces]) -> Alignment | None:
    """The worst figure of each kind, all misses; None when every video is excluded."""
    found = [alignment_of(faces) for faces in videos if not faces.excluded]
    if not found:
        return None
    return Alignment(
        scale_px=min(a.scale_px for a in found),
        jitter_px=max(a.jitter_px for a in found),
        misses=sum(a.misses for a in found),
        looked_at=sum(a.looked_at for a in found),
        drift_px=max(a.drift_px for a in found),
        motion=max(a.motion for a in found),
        n_faces=max(a.n_faces for a in found),
        outside=max(a.outside for a in found),
        valid=min(a.valid for a in found),
    )
