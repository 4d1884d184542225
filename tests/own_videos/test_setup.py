"""The configuration of a run on one's own videos: the model says how its data must be prepared."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from microexp.commands.main import main
from microexp.config import parse
from microexp.errors import UserError
from microexp.own_videos.workflow import (
    CANDIDATES,
    NAME,
    UNTRAINED,
    ModelChoice,
    check_folder,
    choose_models,
    configuration,
    write_configuration,
    write_summary,
)
from microexp.run import bundle

ABOUT = {
    "kind": "spotting", "experiment": "mine", "method": "aemnet",
    "preprocessing": {"crops": {"size": 112}, "flow": {"preset": "classic"}, "i3d-rgb": {"size_px": 64}},
    "streams": {"i3d_rgb": {"fps": [25.0]}, "motion": {"fps": [30.0]}},
}  # fmt: skip


def model(folder: Path, **about: object) -> Path:
    path = folder / "mine.safetensors"
    bundle.write(path, bundle.Bundle({**ABOUT, **about}, {"x": b"y"}))
    return path


def made(choice: ModelChoice, folder: Path, **more: object) -> dict[str, object]:
    options = {"face": "largest", "fps": None, "annotated": False, **more}
    return configuration(choice, folder, **options)  # type: ignore[arg-type]


def test_the_users_model_is_taken_and_named(tmp_path: Path) -> None:
    choice = choose_models(model(tmp_path), tmp_path)
    assert choice == ModelChoice((tmp_path / "mine.safetensors").resolve(), "events by your model mine/aemnet")


@pytest.mark.parametrize("kind", ["recognition", "action_units"])
def test_a_model_of_another_kind_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=rf"mine\.safetensors: got {kind}, expected a spotting model"):
        choose_models(model(tmp_path, kind=kind), tmp_path)
    with pytest.raises(UserError, match=r"mine\.safetensors: expected a spotting model"):
        choose_models(model(tmp_path, kind=None), tmp_path)


def test_without_a_model_the_shipped_one_is_taken(tmp_path: Path) -> None:
    choice = choose_models(None, tmp_path)
    assert choice.spotting.is_file() and "that microexp ships" in choice.about
    assert not list(tmp_path.iterdir())


def test_candidates_need_no_training_and_say_so(tmp_path: Path) -> None:
    choice = choose_models(UNTRAINED, tmp_path)
    assert choice.spotting == (tmp_path / CANDIDATES).resolve() and choice.spotting.is_file()
    assert "no trained model was asked for" in choice.about


def test_data_are_prepared_as_the_model_says(tmp_path: Path) -> None:
    found = made(choose_models(model(tmp_path), tmp_path), tmp_path / "links")
    assert found["crops"] == {"size": 112} and found["flow"] == {"preset": "classic"}
    assert found["i3d"] == {"size_px": 64}, "a section may be called otherwise than its stage"
    assert found["datasets"] == {
        NAME: {
            "adapter": "folder", "root": str((tmp_path / "links").resolve()), "videos": ".", "sheet": "annotations.csv",
            "fps": 25.0,
        }
    }  # fmt: skip


def test_motion_holds_for_any_rate(tmp_path: Path) -> None:
    only_motion = model(tmp_path, streams={"motion": {"fps": [30.0]}}, preprocessing={})
    assert "fps" not in made(choose_models(only_motion, tmp_path), tmp_path)["datasets"][NAME]  # type: ignore[index]


@pytest.mark.parametrize("face", ["left", "right", 3])
def test_what_is_asked_for_on_the_command_line_is_in_it(tmp_path: Path, face: str | int) -> None:
    found = made(choose_models(model(tmp_path), tmp_path), tmp_path, face=face, fps=12.5, annotated=True)
    assert found["faces"] == {"choose": face}
    assert found["datasets"][NAME]["source_fps"] == 12.5  # type: ignore[index]
    assert found["apply"][NAME]["annotated"] is True  # type: ignore[index]


@pytest.mark.parametrize("chosen", [None, UNTRAINED])
def test_it_is_a_valid_configuration_and_comes_back_from_its_file(tmp_path: Path, chosen: Path | None) -> None:
    (tmp_path / "lïnks").mkdir()
    options = made(choose_models(chosen, tmp_path), tmp_path / "lïnks", fps=30.0)
    write_configuration(tmp_path / "c.yaml", options)
    text = (tmp_path / "c.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Written by `microexp video`") and "lïnks" in text
    assert yaml.safe_load(text) == options
    config = parse(options, "c.yaml")
    assert config.allow_exclusions and config.apply[NAME].each_video


@pytest.mark.parametrize("name", ["config.yaml", "summary.csv"])
def test_files_of_something_else_are_not_written_over(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_folder(tmp_path / "new")
    (tmp_path / name).write_text("mine: of another run\n")
    assert main(["video", "no_such.mp4", "--out", str(tmp_path)]) == 2
    assert f"{name}: is there already, and `microexp video` has not made it" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine: of another run\n"


def test_files_of_an_earlier_command_are(tmp_path: Path) -> None:
    write_configuration(tmp_path / "config.yaml", {})
    write_summary(tmp_path, [])
    check_folder(tmp_path)
