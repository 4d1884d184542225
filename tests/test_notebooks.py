"""The notebooks of the documentation run from a clean state, on tiny inputs, and end with tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from microexp.commands.main import main

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a kernel that is this Python with this source; nothing is written into the home folder."""
    from ipykernel.kernelspec import install

    for name in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / "jupyter" / name.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    install(user=True, kernel_name="here")
    return "here"


def executed(name: str, folder: Path, kernel: str) -> Mapping[str, Any]:
    """The notebook with the outputs of all its cells; a cell that fails fails the test."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(ROOT / "docs/notebooks" / f"{name}.ipynb", as_version=4)
    client = NotebookClient(book, kernel_name=kernel, timeout=900, resources={"metadata": {"path": str(folder)}})
    found: Mapping[str, Any] = client.execute()
    return found


def outputs(book: Mapping[str, Any], kind: str) -> list[str]:
    """What the cells gave, of one MIME type, or `stream` for what they printed."""
    every = [output for cell in book["cells"] for output in cell.get("outputs", ())]
    if kind == "stream":
        return [output["text"] for output in every if output["output_type"] == "stream"]
    return [output["data"][kind] for output in every if kind in output.get("data", {})]


def test_they_are_stored_without_outputs() -> None:
    import nbformat

    assert [path.stem for path in NOTEBOOKS] == ["own_clips", "own_network", "scoring_a_log"]
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code), path.name


@pytest.mark.long
def test_clips_become_events_and_pictures(tmp_path: Path, kernel: str) -> None:
    clips = tmp_path / "clips"
    small = [f"--set={option}" for option in ("seconds=4", "micro=1", "macro=1", "seed=7", "width=240", "height=180")]
    assert main(["demo", "--video", "s01_1", "--out-video", str(clips / "anna.mp4"), *small]) == 0
    book = executed("own_clips", tmp_path, kernel)
    assert (tmp_path / "results/anna/page.html").is_file()
    assert any("anna" in table and "regions" in table for table in outputs(book, "text/html"))
    assert len(outputs(book, "image/png")) == 2


@pytest.mark.long
def test_a_network_stands_in_the_table_beside_the_baselines(tmp_path: Path, kernel: str) -> None:
    book = executed("own_network", tmp_path, kernel)
    folds, table, again = outputs(book, "text/html")
    assert folds.count("small_net") == 2 * 3 and "demo/s03" in folds
    for method in ("small_net", "logistic_regression", "majority"):
        assert method in table and method in again
    assert len(outputs(book, "image/png")) == 1
    assert len(list(tmp_path.glob("results/recognition/demo/small_net/*/predictions.csv"))) == 3


@pytest.mark.long
def test_a_log_is_scored_the_same_way_on_every_road(tmp_path: Path, kernel: str) -> None:
    book = executed("scoring_a_log", tmp_path, kernel)
    printed = outputs(book, "stream")
    overall = [line.split()[1:4] for text in printed for line in text.splitlines() if line.startswith("overall")]
    assert len(overall) == 3 and all(counts == ["3", "5", "5"] for counts in overall)
    frame, classes = outputs(book, "text/html")
    assert "<td>3</td>" in frame and "uf1" in classes
    assert len(outputs(book, "image/png")) == 1
