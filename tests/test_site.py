"""The documentation: every page is reachable and current, its configurations are valid, its code runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from microexp.config import MOVED, Config, parse
from microexp.methods.context import Context
from microexp.methods.recognition.base import TrainingClips
from tests.methods.recognition.synthetic import clips_of
from tools import docs_pages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
OTHER_TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md"]


def nav_pages(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from nav_pages(inner)


def test_the_navigation_names_every_page_once() -> None:
    named = list(nav_pages(SITE["nav"]))
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES), "mkdocs.yml: nav"


@pytest.mark.parametrize("name", docs_pages.pages())
def test_generated_pages_are_current(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == docs_pages.pages()[name], "run: python tools/docs_pages.py"


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    loaded = [*SITE.get("extra_javascript", []), *SITE.get("extra_css", [])]
    assert not [name for name in loaded if "//" in str(name)]
    with_script = [p.name for p in PAGES if re.search(r"<script|<img[^>]+https?:|!\[[^\]]*\]\(https?:", p.read_text())]
    assert with_script == []
    diagrams = [p.name for p in PAGES if "```mermaid" in p.read_text(encoding="utf-8")]
    assert diagrams == [], "the theme fetches a script for these"


def test_the_search_finds_options_and_files_by_their_own_names() -> None:
    (separator,) = (plugin["search"]["separator"] for plugin in SITE["plugins"] if "search" in plugin)
    words = [re.split(separator, text) for text in ("spotting.NAME.select.consensus_iou", "landmarks.csv", "F1 .05")]
    assert words == [["spotting", "NAME", "select", "consensus_iou"], ["landmarks", "csv"], ["F1", ".05"]]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as MkDocs makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        found.append(re.sub(r"[-\s]+", "-", plain.encode("ascii", "ignore").decode()))
    return set(found)


def test_links_into_pages_find_their_headings() -> None:
    broken = []
    for page in [*PAGES, *OTHER_TEXTS]:
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
            aim = (page.parent / target) if target else page
            aim = ROOT / "CHANGELOG.md" if aim.name == "changes.md" else aim
            if anchor not in anchors(aim):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert broken == []


def test_pages_link_to_nothing_outside_of_the_site() -> None:
    outside = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\((\.\.[^)]*)\)", page.read_text("utf-8"))
        if not (page.parent / link).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


def test_the_table_of_moved_options_is_whole() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [old for old in MOVED if f"| `{old}` |" not in text] == []


# --- what the pages tell users to write -------------------------------------------------------------------------------


def blocks(page: Path, language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)
    return found


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every YAML block that is (part of) a configuration; what it leaves to the reader is filled in."""
    for page in [*PAGES, ROOT / "README.md"]:
        for number, text in enumerate(blocks(page, "yaml"), 1):
            data = yaml.safe_load(text)
            if set(data) <= set(Config.model_fields):
                used = [
                    name.partition(":")[0]
                    for kind in ("spotting", "recognition", "apply")
                    for experiment in data.get(kind, {}).values()
                    for name in [*experiment["datasets"], *experiment.get("sources", [])]
                ]
                data["datasets"] = {name: {} for name in used or ["demo"]} | data.get("datasets", {})
                yield f"{page.name}, block {number}", data


@pytest.fixture
def my_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code of the page on networks, as the module that it tells users to write."""
    path = tmp_path / "my_net.py"
    path.write_text("\n\n".join(blocks(DOCS / "own_network.md", "python")), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location("my_net", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONFIGURATIONS = list(configurations())


def test_there_are_configurations_to_check() -> None:
    assert len(CONFIGURATIONS) >= 11


@pytest.mark.parametrize(("where", "data"), CONFIGURATIONS, ids=[where for where, _ in CONFIGURATIONS])
def test_the_configurations_of_the_pages_are_valid(where: str, data: dict[str, Any], my_net: ModuleType) -> None:
    parse(data, where)


def test_the_recognition_method_of_the_page_works(my_net: ModuleType) -> None:
    clips = clips_of({"a": ["s1", "s2", "s3", "s4"]}, per_kind=6)
    names = ("happiness", "disgust", "surprise", "never")
    label = np.array([names.index(str(emotion)) for emotion in clips.emotion])
    everyone = np.ones(len(clips), bool)
    training = TrainingClips(clips, label, names, everyone, clips.dataset, "a", ("a",), ())
    method, options = my_net.NearestMean(), my_net.Options(sharpness=2.0)
    model = method.from_bytes(method.to_bytes(method.fit(training, options, Context(0))), options)
    p = method.predict(model, clips)
    assert p.shape == (24, 4) and np.allclose(p.sum(1), 1) and not p[:, 3].any()
    assert (p.argmax(1) == label).mean() > 0.8


class Burst:
    """A motion stream in which steps 40 to 59 of 200 move; one step has two frames."""

    n_steps, step_frame, n_frames, fps = 200, 2, 400, 30.0

    def read(self, first: int, last: int) -> np.ndarray:
        values = np.full((self.n_steps, 3), 0.1, np.float32)
        values[40:60] = 1.0
        return values[first:last]

    def to_source(self, frames: np.ndarray) -> np.ndarray:
        return frames * 1.0


def test_the_spotting_method_of_the_page_works(my_net: ModuleType) -> None:
    from microexp.methods.spotting.base import SpottingVideo, checked
    from microexp.records.index import Expression

    video = SpottingVideo("a", "s1", "v1", 400, 30.0, {"motion": Burst()})  # type: ignore[dict-item]
    truth = {video.key: [Expression("a", "s1", "v1", 1, 80, 100, 119, "macro", "", "")]}
    method = my_net.MotionBursts()
    model = method.from_bytes(method.to_bytes(method.fit([video], truth, None, context=Context(0))), None)
    found = method.propose(model, video)
    assert set(found) == {"macro"}
    intervals, scores = checked(found, video, "bursts")["macro"]
    assert intervals[scores.argmax()].tolist() == [80, 119]


def test_every_function_of_the_api_is_in_the_reference() -> None:
    from microexp import api

    page = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = [name for names in re.findall(r"members: \[([^\]]*)\]", page) for name in names.split(", ")]
    assert set(api.__all__) <= set(listed)


def in_the_reference() -> dict[str, set[str]]:
    """Module -> names that the page on the API shows of it."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    found = {}
    for name, members in re.findall(r"^::: (\S+)\n(?: +options: \{members: \[?([^\]}]*)\]?\})?", page, re.M):
        module = importlib.import_module(name)
        everything = {n for n, o in vars(module).items() if getattr(o, "__module__", None) == name and n[0] != "_"}
        found[name] = set(members.split(", ")) if members else everything
    return found


def test_what_examples_and_pages_import_is_in_the_reference() -> None:
    """A user's code rests on it, so it is public; and a name that the page shows is there."""
    reference = in_the_reference()
    code = [(path.name, path.read_text("utf-8")) for path in (ROOT / "examples").rglob("*.py")]
    code += [(page.name, text) for page in PAGES for text in blocks(page, "python")]
    used = {
        (where, *found) for where, text in code for found in re.findall(r"^from (microexp\S+) import (.+)$", text, re.M)
    }
    assert len(used) >= 10
    private = []
    for where, module, names in sorted(used):
        for name in names.split(", "):
            thing = getattr(importlib.import_module(module), name)
            if isinstance(thing, ModuleType):
                known = thing.__name__ in reference
            else:
                known = name in reference.get(module, ()) or name in reference.get(getattr(thing, "__module__", ""), ())
            private += [] if known else [f"{where}: {module}.{name}"]
    assert private == []
    shown = [(m, n) for m, names in reference.items() if m != "microexp.api" for n in names]
    assert [(m, n) for m, n in shown if not hasattr(importlib.import_module(m), n)] == []


def test_version_and_citation_agree() -> None:
    from microexp import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## \[([^\]]+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None and citation["version"] == __version__ == newest[1]
    assert str(citation["date-released"]) == newest[2]


def test_all_places_name_the_same_versions_of_python() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert named == ["3.11", "3.12", "3.13", "3.14"] and project["requires-python"] == ">=3.11,<3.15"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in makefile
    assert all(f"python{version}" in makefile for version in named)
    for page in ("README.md", "docs/index.md"):
        text = " ".join((ROOT / page).read_text("utf-8").split())
        assert "Python 3.11 to 3.13 and nothing else" in text and "On Python 3.14" in text, page
