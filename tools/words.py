"""Words that the project does not use, and sentences that are too long: `python tools/words.py` names each place.

Pages, help texts, error messages, docstrings and comments are read for words; names in code are not words. Sentences
are those of the pages, without code and tables. Spelling is the part of codespell (`make lint`).
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
AVOIDED = {
    # what is avoided -> what to write
    r"mend(s|ed|ing)?": "correct",
    r"left[ -]out|leaves out": "excluded, held out",
    r"st(?:ands?|ood|anding) in": "is in, replaces",
    r"lost": "missing, excluded",
    r"hand(s|ed)? over": "pass",
    r"for ever": "without end",
    r"whose": "of which, with, or two sentences",
}
PATTERN = re.compile("|".join(rf"\b(?:{word})\b" for word in AVOIDED), re.I)
WHERE = (
    "*.md",
    "docs/**/*.md",
    "docs/**/*.ipynb",
    "examples/**/*.md",
    "results/*.md",
    "benchmarks/*.py",
    "src/**/*.py",
    "src/**/*.md",
    "workflow/**/*.smk",
    "profiles/**/*.yaml",
)
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "examples/*/*.md", "results/*.md")
MOST_WORDS = 25
"""In a sentence; most have far fewer."""
QUOTED = re.compile(r"`[^`\n]*`")
"""Code in a text: old names may be told there."""


def files() -> Iterator[Path]:
    """Everything that is read, sorted."""
    yield from sorted({path for pattern in WHERE for path in ROOT.glob(pattern)})


def words_of(path: Path) -> str:
    """What is read of a file: all of it, and of Python the comments and strings, each in its line and column."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    lines = [list(line) for line in text.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            (row, start), (_, end) = token.start, token.end
            lines[row - 1][start:end] = " " * (end - start)
    return "\n".join("".join(line) for line in lines)


def found(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word, what to write) of every word to avoid."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in PATTERN.finditer(QUOTED.sub("", line)):
            instead = next(good for word, good in AVOIDED.items() if re.fullmatch(word, match[0], re.I))
            yield number, match[0], instead


def sentences(text: str) -> Iterator[str]:
    """The sentences of a Markdown page: paragraphs and items of lists, without headings, code and tables."""
    prose = re.sub(r"^```.*?^```|^(?: {4}|[|#!<:])[^\n]*$|^(?=\s*(?:[-*]|\d+\.) )", "\n\n", text, flags=re.S | re.M)
    for paragraph in re.split(r"\n\s*\n", re.sub(r"\]\([^)]*\)", "]", prose)):
        yield from re.split(r"(?<=[.!?:;])\s+(?=[A-Z`*\[\"(])", " ".join(paragraph.split()))


def too_long(text: str) -> Iterator[tuple[int, str]]:
    """(words, beginning) of every sentence with more words than `MOST_WORDS`."""
    for sentence in sentences(text):
        count = len(re.findall(r"[^\W_][\w'’.-]*", sentence))
        if count > MOST_WORDS:
            yield count, sentence[:60]


def main() -> int:
    """Name every place; 1 when there is any."""
    places = [(path.relative_to(ROOT), *place) for path in files() for place in found(words_of(path))]
    for path, number, word, instead in places:
        print(f"{path}:{number}: {word!r}: write {instead}")
    pages = sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})
    long = [(page.relative_to(ROOT), *found) for page in pages for found in too_long(page.read_text("utf-8"))]
    for path, count, beginning in long:
        print(f"{path}: {count} words, expected at most {MOST_WORDS}: {beginning} …")
    return 1 if places or long else 0


if __name__ == "__main__":
    sys.exit(main())
