"""Pages in a real browser: no error, nothing from outside, pictures drawn, links that lead somewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, needs_browser, running
from tests.report.video.made import video_page

pytestmark = [pytest.mark.browser, pytest.mark.long, needs_browser]
WIDTHS = (400, 1300)
UNDRAWN = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
DEAD_LINKS = """[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))
  .filter(h => h.startsWith('#') && !document.getElementById(h.slice(1)))"""
WIDEST = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running() as found:
        yield found


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_a_video(browser: Browser, width: int, tmp_path: Path) -> None:
    path = video_page(tmp_path)
    page = browser.page()
    page.open(path, width)
    keep_picture(page, f"video_{width}.png")
    assert page.errors == [] and page.outside() == []
    assert page.run("document.images.length") >= 8 + 2 and page.run(UNDRAWN) == 0
    assert page.run(DEAD_LINKS) == []
    assert page.run(WIDEST) <= width, "no sideways scrolling of the page as a whole"
    assert page.run("document.querySelectorAll('svg polyline.motion').length") >= 5
    assert page.run("document.querySelectorAll('svg rect.shade').length") == 1
    assert float(page.run("parseFloat(getComputedStyle(document.body).fontSize)")) >= 14


def test_a_tap_on_an_event_leads_to_it(browser: Browser, tmp_path: Path) -> None:
    page = browser.page()
    page.open(video_page(tmp_path), 400)
    assert page.run("window.scrollY") == 0
    page.run("document.querySelector('svg a').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert page.run("location.hash") == "#event-1"
    top = page.run("document.getElementById('event-1').getBoundingClientRect().top")
    assert -1 <= top <= 900 and page.run("window.scrollY") > 0


def test_what_is_wrong_with_a_page_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='missing.png'><img src='http://127.0.0.1:9/x.png'><a href='#no'>x</a>"
        "<div style='width:3000px'>.</div>"
        "<script>console.error('told'); nothing()</script>"
    )
    page = browser.page()
    page.open(bad, 400)
    assert any("told" in e for e in page.errors) and any("nothing" in e for e in page.errors)
    assert page.outside() == ["http://127.0.0.1:9/x.png"]
    assert page.run(UNDRAWN) == 2 and page.run(DEAD_LINKS) == ["#no"] and page.run(WIDEST) > 400


def keep_picture(page: object, name: str) -> None:
    """Write a picture to the folder that MICROEXP_SCREENSHOTS names, for people to look at."""
    if folder := os.environ.get("MICROEXP_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.picture(Path(folder) / name)  # type: ignore[attr-defined]
