"""Words that the project does not use, found in what people read: `python tools/words.py` names each place.

Pages, help texts, error messages, docstrings and comments are read; names in code are not words. Spelling is the part
of codespell (`make lint`).
"""

from __future__ import annotations

import re
import sys
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
}
PATTERN = re.compile("|".join(rf"\b(?:{word})\b" for word in AVOIDED), re.I)
WHERE = (
    "*.md",
    "docs/**/*.md",
    "docs/**/*.ipynb",
    "examples/**/*.md",
    "src/**/*.py",
    "src/**/*.md",
    "workflow/**/*.smk",
    "profiles/**/*.yaml",
)
QUOTED = re.compile(r"`[^`\n]*`")
"""Code in a text: old names may be told there."""


def files() -> Iterator[Path]:
    """Everything that is read, sorted."""
    yield from sorted({path for pattern in WHERE for path in ROOT.glob(pattern)})


def found(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word, what to write) of every word to avoid."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in PATTERN.finditer(QUOTED.sub("", line)):
            instead = next(good for word, good in AVOIDED.items() if re.fullmatch(word, match[0], re.I))
            yield number, match[0], instead


def main() -> int:
    """Name every place; 1 when there is any."""
    places = [(path.relative_to(ROOT), *place) for path in files() for place in found(path.read_text("utf-8"))]
    for path, number, word, instead in places:
        print(f"{path}:{number}: {word!r}: write {instead}")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
