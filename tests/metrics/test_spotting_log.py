"""Logs in the forms that they get on their way, what predictions are behind them, and how they check themselves."""

from __future__ import annotations

import pytest

from microexp.errors import UserError
from microexp.metrics.foreign.spotting_log import is_log, log_differences, log_predictions, read_log
from microexp.metrics.spotting import Counts, Interval, count

PLAIN = "2\n15_0101   41   60   40   57   TP\n15_0101   -   -   200   209   FP\n"


def read(tmp_path, text, encoding="utf-8"):
    (tmp_path / "log.txt").write_bytes(text.encode(encoding))
    assert is_log(tmp_path / "log.txt")
    return read_log(tmp_path / "log.txt", "cas_me2")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        ("\n \n" + PLAIN, "utf-8"),
        (PLAIN.replace("\n", "\r\n"), "utf-8"),
        (PLAIN.replace("41 ", "41.0 ").replace("57", "57."), "utf-8"),
        (PLAIN.replace("TP", "tp").replace("FP", "Fp"), "utf-8"),
        (PLAIN.replace("   ", ","), "utf-8"),
        (PLAIN.replace("   ", "; ").replace("2\n", "2;;;;;\n", 1), "utf-8"),
        (PLAIN.replace("   ", ",").replace("-", ""), "utf-8"),
        (PLAIN.replace("   ", "\t"), "utf-8"),
        (PLAIN.replace("   ", " | "), "utf-8"),
        ("| " + PLAIN.strip().replace("   ", " | ").replace("\n", " |\n| ") + " |\n", "utf-8"),
        ('"' + PLAIN.strip().replace("   ", '","').replace("\n", '"\n"') + '"\n', "utf-8"),
        (PLAIN.replace("   ", '"\t"').replace("\n", '"\n"').strip('"'), "utf-8"),
        (PLAIN.replace("2\n", "CAS(ME)^2\n", 1), "utf-8"),
        (PLAIN.replace("2\n", "CAS(ME)²:\n", 1), "utf-8"),
        (PLAIN.removeprefix("2\n"), "utf-8"),
        ("SAMM Long Videos\n006_1 - - 1 90 FP\nF1: 0.1\n" + PLAIN, "utf-8"),
        (PLAIN + "\nTP: 1 FP: 1\nF1-score = 0.67, precision 0.5\n", "utf-8"),
        (PLAIN.replace("15_0101", "S15_0101disgustingteeth"), "utf-8"),
    ],
)
def test_one_log_in_many_forms(tmp_path, text, encoding):
    found = [(p.video, p.truth, p.prediction, p.verdict) for p in read(tmp_path, text, encoding)]
    assert found == [("s15_0101", (41, 60), (40, 57), "TP"), ("s15_0101", None, (200, 209), "FP")]


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("15_0101 1 2", "line 3: got '15_0101 1 2'"),
        ("15_0101 - - 1 x FP", "line 3: got 'x'"),
        ("15_0101 - - 1 5.5 FP", "line 3: got '5.5'"),
        ("15_0101 1 5 - 7 TP", "line 3: got '-'"),
        ("15_0101 - - 1 5 TP", "line 3"),
        ("15_0101 1 5 1 5 FN", "line 3"),
        ("total 1 FP", "line 3"),
        ("TP: 1\n15_0101 - - 1 5 FP", "line 3: got 'TP: 1'"),
    ],
)
def test_a_line_that_is_neither_pair_nor_closing_summary_is_named(tmp_path, line, where):
    with pytest.raises(UserError, match=where):
        read(tmp_path, f"2\n15_0101 - - 1 5 FP\n{line}\n")


def test_bytes_that_are_no_text_are_no_log(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    assert not is_log(tmp_path / "b.txt")
    with pytest.raises(UserError, match=r"b\.txt"):
        read_log(tmp_path / "b.txt", "cas_me2")


def test_lines_that_repeat_are_predictions_and_other_truths_of_one_are_not(tmp_path):
    """One prediction over two expressions has two lines; predictions that were made twice have the same line twice."""
    pairs = read(
        tmp_path,
        "2\n"
        "15_0101 - - 900 909 FP\n15_0101 - - 900 909 FP\n15_0101 - - 900 909 FP\n"
        "15_0101 0 19 0 39 TP\n15_0101 0 19 0 39 TP\n15_0101 20 39 0 39 TP\n"
        "15_0102 - - 0 39 FP\n15_0101 70 99 - - FN\n",
    )  # fmt: skip
    found = log_predictions(pairs, "cas_me2")
    assert [(p.video, p.onset, p.kind) for p in found] == [
        *[("s15_0101", 900, "micro")] * 3, *[("s15_0101", 0, "macro")] * 2, ("s15_0102", 0, "macro"),
    ]  # fmt: skip
    truths = [Interval("s15", "s15_0101", a, b, "macro") for a, b in ((0, 19), (20, 39), (70, 99))]
    assert count(found, truths, "megc")["macro"] == Counts(2, 3, 3)
    assert log_differences(pairs, found, truths) == []


def test_a_log_is_compared_with_the_truths_line_by_line(tmp_path):
    pairs = read(
        tmp_path,
        "2\n15_0101 0 19 0 19 TP\n15_0101 30 49 36 60 TP\n15_0101 70 89 70 89 TP\n"
        "15_0101 - - 100 119 FP\n15_0101 130 149 - - FN\n15_0101 - - 130 149 FP\n15_0101 160 169 160 169 TP\n",
    )  # fmt: skip
    spans = ((0, 19), (30, 49), (100, 119), (130, 149), (160, 169))
    truths = [
        *(Interval("s15", "s15_0101", a, b, "macro") for a, b in spans),
        Interval("s16", "s16_0101", 5, 9, "micro"),
    ]
    assert log_differences(pairs, log_predictions(pairs, "cas_me2"), truths) == [
        "line 3, TP in s15_0101: the prediction does not hit it",
        "line 4, TP in s15_0101: there is no such ground truth",
        "line 5, FP in s15_0101: it hits 100 to 119",
        "line 6, FN in s15_0101: 130 to 149 hits it",
        "line 7, FP in s15_0101: it hits 130 to 149",
        "line 8, TP in s15_0101: the prediction does not hit it",  # of ten frames, so micro
        "no line for s15_0101 100 to 119",
        "no line for s16_0101 5 to 9",
    ]
