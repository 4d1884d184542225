"""Runs the report's stages on a tree of results."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from microexp.pipeline import STAGES
from microexp.report.params import FrontParams, PageParams
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.report.conftest import SUBJECTS, Tree


def subject_page(
    tree: Tree, who: str, without: tuple[str, ...] = (), events: Path | None = None, **options: Any
) -> Path:
    stages = [s for s in ("crops", "faces", "flow", "motion", "apexdiff") if s not in without]
    folders = {"motion": ("features", "motion")}
    inputs = {s: [tree.path(*folders.get(s, (s,)), "toy", f"{who}.h5")] for s in stages}
    inputs |= {n: [tree.path("index", "toy", who, f"{n}.csv")] for n in ("videos", "expressions")}
    inputs["detections"] = sorted(tree.root.glob(f"spotting/main/*/toy-{who}/detections.csv"))
    inputs["predictions"] = sorted(tree.root.glob(f"recognition/rec/*/toy-{who}/predictions.csv"))
    inputs["events"] = [events] if events else []
    inputs |= {s: [] for s in without}
    page = tree.path("report", "toy", f"{who}.html")
    keys = {"dataset": "toy", "subject": who}
    run_stage(STAGES["report-subject"], Job(inputs, {"page": page}, PageParams(**options), keys))
    return page


def report_inputs(tree: Tree) -> dict[str, list[Path]]:
    inputs = {n: [tree.path("index", "toy", f"{n}.csv")] for n in ("videos", "expressions", "counts", "issues")}
    inputs["tables"] = [tree.path("tables", f"{n}.json") for n in ("spotting_main", "recognition_rec")]
    inputs["detections"] = sorted(tree.root.glob("spotting/*/*/*/detections.csv"))
    inputs["training"] = sorted(tree.root.glob("*/*/*/*/training.csv"))
    inputs |= {s: [tree.path(s, "toy", f"{w}.h5") for w in SUBJECTS] for s in ("faces", "crops", "flow", "apexdiff")}
    inputs["records"] = [tree.path("features", "motion", "toy", "ann.h5")]
    inputs["pages"] = sorted(tree.root.glob("report/*/*.html"))
    return inputs


def whole_report(tree: Tree, inputs: dict[str, list[Path]] | None = None, **options: Any) -> str:
    path = tree.path("report.html")
    run_stage(STAGES["report"], Job(inputs or report_inputs(tree), {"report": path}, FrontParams(**options)))
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects addresses and text."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.add(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open and self.open[-1] == tag, (tag, self.open)
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
