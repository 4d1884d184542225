"""The page of file formats does not drift from what the records declare."""

from __future__ import annotations

from pathlib import Path

from microexp.records.verify import KINDS
from microexp.reference import formats_page

PAGE = Path(__file__).parents[2] / "docs" / "files.md"


def test_the_page_of_file_formats_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == formats_page(), "see the head of the page for how it is made"


def test_every_array_and_attribute_is_explained() -> None:
    text = formats_page()
    for kind in KINDS.values():
        for name, item in (*kind.arrays.items(), *kind.attributes.items()):
            assert f"| `{name}` |" in text and item.about
