"""What takes less space: `keep`, with which bulky files go when all that reads them is done, and grey crops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from microexp.commands.check import cost
from microexp.commands.main import main
from microexp.config import parse
from microexp.errors import UserError
from microexp.plan import Plan
from microexp.records.index import Video
from microexp.stage_options import preprocessing
from tests.workflow import runs

SMALL: dict[str, Any] = {
    "seed": 3,
    "datasets": {"demo": {"adapter": "demo"}},
    "demo": {"subjects": 3, "seconds": 6, "width": 160, "height": 120, "micro": 3, "macro": 1},
    "crops": {"size": 48},
    "spotting": {"demo": {"datasets": ["demo"], "methods": {"flow_magnitude": {}}}},
    "tables": {"bootstrap": 50},
}
BULKY = [f"results/{stage}/demo/s0{n}.h5" for stage in ("crops", "flow") for n in (1, 2, 3)]


def plan(**sections: Any) -> Plan:
    return Plan(parse({**SMALL, **sections}, "c"), {"demo": ["s01", "s02", "s03"]})


def write(folder: Path, **sections: Any) -> Path:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **sections}))
    return path


@pytest.mark.long
def test_what_is_read_is_deleted_and_the_run_counts_as_finished(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the faces on, which are those of the miniature."""
    folder = runs.copy_run(finished, tmp_path / "run")
    same = ("demo", "index", "faces")
    runs.forget(folder, *(path.name for path in (folder / "results").iterdir() if path.name not in same))
    keep = {"crops": False, "flow": False}
    outcome = runs.run(folder, config=write(tmp_path, keep=keep))
    assert outcome.status == 0, outcome.text
    assert not [path for path in BULKY if (folder / path).exists()]
    assert all((folder / f"{path}.prov.json").exists() for path in BULKY), "what there was stays known"
    assert (folder / "results/report/demo/s01.html").read_text().count('src="data:image/') > 10, "pictures of crops"
    report = (folder / "results/report.html").read_text()
    assert "cut out as aligned crops of 48 px" in report and "Optical flow is TV-L1" in report
    assert main(["verify", str(folder / "results")]) == 0, capsys.readouterr().out
    again = runs.run(folder, config=write(tmp_path, keep=keep))
    assert again.status == 0 and "Nothing to be done" in again.text and not again.rules()
    changed = runs.run(folder, "-n", config=write(tmp_path, keep=keep, flow={"preset": "classic"})).jobs()
    assert {"crops": 3, "flow": 3, "motion": 3, "spotting_fold": 3}.items() <= changed.items()
    assert "faces" not in changed and "demo" not in changed
    (folder / "results/crops/demo/s01.h5.prov.json").write_text("{}")
    assert main(["verify", str(folder / "results")]) == 1, "a damaged record is one all the same"


def test_targets_pages_and_the_report_do_without_what_is_deleted() -> None:
    assert set(BULKY) <= set(plan().everything())
    gone = plan(keep={"crops": False, "flow": False})
    assert not set(BULKY) & set(gone.everything())
    assert gone.reported("crops") == gone.reported("flow") == [] != gone.reported("faces")
    assert gone.crops_of("demo", "s01") and gone.flow_of("demo", "s01"), "the pages read them first"
    early = plan(keep={"crops": False, "flow": True, "pictures": False})
    assert early.crops_of("demo", "s01") == [] and early.flow_of("demo", "s01")
    assert early.made("crops") and early.temporary("crops") and not early.temporary("flow")


def test_crops_stay_where_tables_look_into_them() -> None:
    alone = {"demo": {"datasets": ["demo"], "methods": {"random_intervals": {}}}}
    assert not plan(spotting=alone, keep={"crops": False}).temporary("crops")


def test_the_estimate_of_disk_does_not_count_what_goes() -> None:
    videos = [Video("demo", "s01", "s01_1", "-", 100_000, 30.0, 9, 9)]
    sizes = [
        cost(parse({**SMALL, "keep": keep}, "c"), "demo", videos).gigabytes
        for keep in (
            {},
            {"flow": False},
            {"flow": False, "pictures": False},
            {"crops": False, "flow": False, "pictures": False},
        )
    ]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3]


def test_grey_crops_are_an_option_of_the_crops_alone_and_refused_beside_colour() -> None:
    grey = {"crops": {"size": 48, "grey": True}}
    with_grey, without = plan(**grey), plan()
    assert json.loads(with_grey.options("crops", "demo")) == {"fps": None, "grey": True, "size": 48}
    assert json.loads(without.options("crops", "demo")) == {"fps": None, "size": 48}, "as before there was the option"
    assert preprocessing(with_grey.config, "spotting", "motion") == preprocessing(without.config, "spotting", "motion")
    network = {"demo": {"datasets": ["demo"], "methods": {"aemnet": {}}}}
    with pytest.raises(UserError, match=r"crops\.grey: got true, expected false where a method reads i3d_rgb"):
        plan(**grey, spotting=network)
