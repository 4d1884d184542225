"""Made-up logs and sheets of the size of the official ones, with counts that are known by how they were made."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from openpyxl import Workbook

from microexp.commands.main import main
from microexp.datasets.cas_me2 import FILMS, SUBJECTS
from microexp.metrics.foreign.spotting_inputs import read_sheet
from microexp.metrics.foreign.spotting_log import MICRO_MAX_FRAMES, log_differences, log_predictions, read_log
from microexp.metrics.spotting import Counts, count

OFFICIAL = {
    "cas_me2": {"micro": Counts(21, 5035, 57), "macro": Counts(109, 1523, 300)},
    "samm_lv": {"micro": Counts(29, 1436, 159), "macro": Counts(22, 356, 343)},
}
UNIT = {"cas_me2": {"micro": 8, "macro": 24}, "samm_lv": {"micro": 50, "macro": 150}}
NUMBER = {"cas_me2": "2", "samm_lv": "1"}


@dataclass
class MadeUp:
    """A data set: intervals by video, beside the counts that they must give.

    Attributes:
        truths: (video, kind, onset, offset).
        predictions: (video, onset, offset) in the order in which they were made.
        extra: ground truths that count in `megc` alone, by kind.
    """

    dataset: str
    videos: list[str]
    truths: list[tuple[str, str, int, int]] = field(default_factory=list)
    predictions: list[tuple[str, int, int]] = field(default_factory=list)
    extra: dict[str, int] = field(default_factory=lambda: {"micro": 0, "macro": 0})
    made: dict[str, Counts] = field(default_factory=lambda: {"micro": Counts(), "macro": Counts()})
    free: dict[str, int] = field(default_factory=dict)

    def place(self, video, kind, truths, predictions, hit, predicted_kind=None):
        """Intervals that start at 0, moved to where the video is still empty; `hit` ground truths are hit."""
        start = self.free.get(video, 1)
        self.truths += [(video, kind, start + a, start + b) for a, b in truths]
        self.predictions += [(video, start + a, start + b) for a, b in predictions]
        self.made[kind] += Counts(hit, 0, len(truths))
        self.made[predicted_kind or kind] += Counts(0, len(predictions), 0)
        self.free[video] = start + max(b for _, b in (*truths, *predictions)) + 2


def rules(u):
    """(ground truths, predictions, hits in megc, hits one to one) of every rule, for expressions of about u frames."""
    return [
        ([(0, u - 1)], [(0, u - 1)], 1, 1),
        ([(0, u - 1)], [(0, 2 * u - 1)], 1, 1),  # IoU exactly one half
        ([(0, u - 1)], [(1, 2 * u)], 0, 0),  # just below
        ([(0, u - 1), (u, 2 * u - 1)], [(0, 2 * u - 1)], 2, 1),  # one prediction over two expressions
        ([(0, u - 1)], [(0, u - 1), (1, u - 1)], 1, 1),  # two over one
        ([(0, u - 1)], [(0, u - 1), (0, u - 1)], 1, 1),  # the same prediction twice
        ([(0, u - 1)], [(u, 2 * u - 1), (u, 2 * u - 1)], 0, 0),  # the same miss twice
        # the first prediction hits both, the second only the first
        ([(0, u - 1), (u // 2, u // 2 + u - 1)], [(3 * u // 10, 3 * u // 10 + u - 1), (0, 8 * u // 10 - 1)], 2, 2),
    ]


def make(dataset, videos):
    """A data set with the official counts: every rule several times, then expressions and predictions on their own."""
    made, generator = MadeUp(dataset, videos), np.random.default_rng(7)
    annotated = videos[: 2 * len(videos) // 3]
    limit = MICRO_MAX_FRAMES[dataset]
    for _ in range(3):  # an expression of one kind under a prediction of the other
        made.place(generator.choice(annotated), "micro", [(0, limit - 1)], [(0, limit)], 0, "macro")
        made.place(generator.choice(annotated), "macro", [(0, limit - 1)], [(0, limit - 1)], 0, "micro")
    for kind, wanted in OFFICIAL[dataset].items():
        u, cases = UNIT[dataset][kind], rules(UNIT[dataset][kind])
        for turn in range(10_000):
            truths, predictions, hit, one = cases[turn % len(cases)]
            if made.made[kind].true_positives + hit > wanted.true_positives - 2:
                break
            made.place(generator.choice(annotated), kind, truths, predictions, hit)
            made.extra[kind] += hit - one
        while made.made[kind].true_positives < wanted.true_positives:
            made.place(generator.choice(annotated), kind, [(0, u - 1)], [(0, u - 1)], 1)
        while made.made[kind].truths < wanted.truths:
            made.place(generator.choice(annotated), kind, [(0, u - 1)], [], 0)
        while made.made[kind].predictions < wanted.predictions:
            made.place(generator.choice(videos), kind, [], [(0, u - 1)], 0)
    return made


def official_log(made):
    """The lines that the official script writes for a data set, by its rules."""
    limit = MICRO_MAX_FRAMES[made.dataset]
    lines = [NUMBER[made.dataset]]

    def is_hit(prediction, truth):
        (a, b), (_, kind, c, d) = prediction, truth
        shared = len(set(range(a, b + 1)) & set(range(c, d + 1)))
        return 2 * shared >= b - a + 1 + d - c + 1 - shared and kind == ("micro" if b - a + 1 <= limit else "macro")

    for video in made.videos:
        name = video.removeprefix("s")
        own = [(a, b) for v, a, b in made.predictions if v == video]
        truths = [t for t in made.truths if t[0] == video]
        written = []
        for a, b in own:
            truth = next((t for t in truths if is_hit((a, b), t)), None)
            written.append(f"{name} {truth[2]} {truth[3]} {a} {b} TP" if truth else f"{name} - - {a} {b} FP")
        for truth in truths:
            first = next((p for p in own if is_hit(p, truth)), None)
            line = f"{name} {truth[2]} {truth[3]} {first[0]} {first[1]} TP" if first else ""
            if line not in written:
                written.append(line or f"{name} {truth[2]} {truth[3]} - - FN")
        lines += written
    return lines


def write_cas_me2(made, path):
    films, participants = {code: film for film, code in FILMS.items()}, {s: n for n, s in SUBJECTS.items()}
    book = Workbook()
    book.active.title = "CASFEcode_final"
    for n, (video, kind, onset, offset) in enumerate(made.truths):
        subject, code = video.split("_")
        apex = offset if n % 10 == 0 else (onset + offset) // 2  # an offset of 0 means the apex
        cells = (onset, apex, 0 if n % 10 == 0 else offset, 4, "negative", f"{kind}-expression", "disgust")
        book.active.append((participants[subject], f"{films[code]}_{n % 15 + 1}", *cells))
    book.save(path)


def write_samm_lv(made, path):
    book = Workbook()
    book.active.title = "FACS_Movement_Only"
    header = "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes"
    for row in [("about the data set",)] * 9 + [tuple(header.split(","))]:
        book.active.append(row)
    for n, (video, kind, onset, offset) in enumerate(made.truths):
        less = 0.5 if n % 7 == 0 else 0  # halves are rounded up
        name = f"{video}_{n % 9 + 1}"
        label = {"micro": "Micro - 1/2", "macro": "Macro"}[kind]
        book.active.append((video[:3], name, 1, onset - less, -1, offset - less, offset - onset, label, "4", ""))
    book.save(path)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """The log, and by data set what was made and its sheet."""
    folder = tmp_path_factory.mktemp("official")
    cas_me2 = make("cas_me2", [f"{s}_{c}" for s in SUBJECTS.values() for c in FILMS.values()][:98])
    samm_lv = make("samm_lv", [f"{n:03d}_{v}" for n in range(6, 36) for v in range(1, 6)][:147])
    sheets = {
        "cas_me2": folder / "CAS(ME)^2code_final.xlsx",
        "samm_lv": folder / "SAMM_LongVideos_V1_Release.xlsx",
    }
    write_cas_me2(cas_me2, sheets["cas_me2"])
    write_samm_lv(samm_lv, sheets["samm_lv"])
    log = folder / "log.txt"
    log.write_text("\n".join([*official_log(samm_lv), *official_log(cas_me2)]) + "\n")
    return log, {"cas_me2": cas_me2, "samm_lv": samm_lv}, sheets


@pytest.mark.long
@pytest.mark.parametrize("dataset", OFFICIAL)
def test_log_and_sheet_of_official_size_give_the_official_counts(official, dataset):
    log, made, sheets = official
    pairs, truths = read_log(log, dataset), read_sheet(sheets[dataset], dataset)
    predictions = log_predictions(pairs, dataset)
    result = count(predictions, truths, "megc")
    assert {kind: result[kind] for kind in ("micro", "macro")} == OFFICIAL[dataset]
    strict = count(predictions, truths, "one_to_one")
    for kind, wanted in OFFICIAL[dataset].items():
        extra = made[dataset].extra[kind]
        assert extra > 0
        assert strict[kind] == Counts(wanted.true_positives - extra, wanted.predictions, wanted.truths)
    assert log_differences(pairs, predictions, truths) == []
    with_prediction = [p for p in pairs if p.prediction]
    distinct = {(p.video, p.prediction) for p in with_prediction}
    assert len(distinct) < len(predictions) < len(with_prediction)  # neither lines nor intervals can be counted alone


@pytest.mark.long
def test_the_command_prints_the_official_counts(official, capsys):
    log, _, sheets = official
    args = ["evaluate", "spotting", str(log), str(sheets["cas_me2"]), "--dataset", "cas_me2", "--matching", "megc"]
    assert main([*args, "--bootstrap", "10", "--json"]) == 0
    out = capsys.readouterr()
    found = {k: json.loads(out.out)[k] for k in ("micro", "macro")}
    assert {k: Counts(f["true_positives"], f["predictions"], f["ground_truths"]) for k, f in found.items()} == (
        OFFICIAL["cas_me2"]
    )
    assert "differs" not in out.err and "videos with predictions have no ground truth" in out.err
