"""The list of words to avoid is kept, and the checker finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import words


def test_no_text_holds_a_word_to_avoid(capsys: pytest.CaptureFixture[str]) -> None:
    status = words.main()
    assert (status, capsys.readouterr().out) == (0, "")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("It was mended.", "mended"),
        ("a Left out row", "Left out"),
        ("wait for ever", "for ever"),
        ("-- hands over", "hands over"),
        ("It stands in for a frame that is gone", "stands in"),
        ("the row is lost", "lost"),
        ("a video whose sheet is missing", "whose"),
    ],
)
def test_the_checker_finds_them(text: str, word: str) -> None:
    assert [(line, found) for line, found, _ in words.found(f"fine\n{text}\n")] == [(2, word)]


def test_names_in_code_and_longer_words_are_fine() -> None:
    assert list(words.found("see `left out` of 0.1.0; recommended; ROW_LEFT_OUT; left_out; whatever")) == []


def test_of_python_comments_and_strings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Of\nwhose it is."""\n\n\ndef whose(lost: str) -> str:  # a lost one\n    return lost\n')
    assert [(line, word) for line, word, _ in words.found(words.words_of(path))] == [(2, "whose"), (5, "lost")]


def test_long_sentences_are_found_and_neither_code_nor_tables_are_sentences() -> None:
    long = " ".join(["Word"] + ["word"] * words.MOST_WORDS)
    page = f"# Title\n\nShort. {long}\nthat goes on. End.\n\n- {long}.\n- short\n\n| {long} |\n\n    {long}\n"
    assert [count for count, _ in words.too_long(page)] == [29, 26]
    assert list(words.too_long(f"```python\n{long}\n```\n{' '.join(['word'] * words.MOST_WORDS)}.")) == []


def test_pages_and_code_are_read() -> None:
    read = {str(path.relative_to(words.ROOT)) for path in words.files()}
    assert {"README.md", "docs/faq.md", "src/microexp/errors.py", "workflow/rules/common.smk"} <= read
