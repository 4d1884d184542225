"""Which of several people in the picture a video is about, and their faces from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from microexp.faces.observe import Face

NEAR = 0.8
"""Faces of one person lie within so many sides of their box between two looks."""
ALIKE = 1.6
"""Sizes of one person's face differ at most by this factor when the person has changed the place."""
SEEN = 0.2
"""Share of the looks in which somebody must be seen to be counted from left to right."""


@dataclass
class Person:
    """The faces of one person: look -> face."""

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def area(self) -> float:
        """Sum over all looks, px^2: who is large and stays long is whom the video is about."""
        return sum(side(face) ** 2 for face in self.faces.values())

    @property
    def centre_x(self) -> float:
        """Mean place from left to right, px."""
        return float(np.mean([centre(face)[0] for face in self.faces.values()]))

    @property
    def side(self) -> float:
        """Median size, px."""
        return float(np.median([side(face) for face in self.faces.values()]))


def side(face: Face) -> float:
    """Side of a face's box, px."""
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))


def centre(face: Face) -> np.ndarray:
    """(2,) middle of a face's box, px."""
    return np.asarray((face.box[:2] + face.box[2:]) / 2)


def people(looks: Sequence[Sequence[Face]]) -> list[Person]:
    """The people in these looks (in order of time), by the places of their faces."""
    found: list[Person] = []
    for look, faces in enumerate(looks):
        last = [(person, person.faces[max(person.faces)]) for person in found]
        pairs = sorted(
            (float(np.linalg.norm(centre(face) - centre(before))) / side(before), number, index)
            for number, (_, before) in enumerate(last)
            for index, face in enumerate(faces)
        )
        taken: dict[int, int] = {}
        for distance, number, index in pairs:
            if distance <= NEAR and number not in taken.values() and index not in taken:
                taken[index] = number
        for index, face in enumerate(faces):
            person = found[taken[index]] if index in taken else Person()
            if index not in taken:
                found.append(person)
            person.faces[look] = face
    return found


def choose(found: Sequence[Person], which: str | int) -> Person | None:
    """The person a video is about; None when there are fewer people than the number that was asked for.

    Args:
        found: everybody.
        which: `largest` (sum over time), `left`, `right`, or a number counted from the left.
    """
    if not found:
        return None
    if which == "largest":
        return max(found, key=lambda person: person.area)
    often = max(len(person.faces) for person in found)
    row = sorted((p for p in found if len(p.faces) >= SEEN * often), key=lambda p: p.centre_x)
    if which in ("left", "right"):
        return row[0 if which == "left" else -1]
    number = int(which)
    return row[number - 1] if number <= len(row) else None


def with_other_places(person: Person, found: Sequence[Person]) -> Person:
    """The person, with the faces of those who are never seen at the same time and are as large: the same in another
    seat."""
    faces = dict(person.faces)
    for other in sorted(found, key=lambda p: -p.area):
        ratio = max(other.side, person.side) / min(other.side, person.side)
        if other is not person and ratio <= ALIKE and not faces.keys() & other.faces.keys():
            meets = any(p is not other and p.faces.keys() & other.faces.keys() for p in found if p is not person)
            if not meets:
                faces.update(other.faces)
    return Person(faces)


def same_person(faces: Sequence[Face], around: Sequence[Face]) -> Face | None:
    """Of the faces in a frame that of the person with these faces in the looks around."""
    best = None
    for face in faces:
        for known in around:
            distance = float(np.linalg.norm(centre(face) - centre(known))) / side(known)
            if distance <= NEAR and (best is None or distance < best[0]):
                best = (distance, face)
    return None if best is None else best[1]
