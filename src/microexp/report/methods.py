"""The methods paragraph of a paper, with BibTeX, from the records of what really ran."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexp import __version__
from microexp.errors import UserError
from microexp.methods.find import find_method
from microexp.pipeline import STAGES, STREAM_STAGES
from microexp.records.index import Expression, Video
from microexp.report.collect import ResultTable, StageRecord, Versions, flatten
from microexp.run import provenance

OWN = f"@software{{microexp, author={{{{The microexp maintainers}}}}, title={{microexp}}, version={{{__version__}}}}}"
FOLDS = {"spotting": "spotting-fold", "recognition": "recognition-fold"}
IDENTITY = frozenset(
    ("experiment", "name", "method", "method_version", "people", "adapters", "content", "adapter", "datasets",
     "methods", "releases", "seed", "title")
)  # fmt: skip
"""Options that say what is worked on, not how; the first seed is named with the seeds."""
SHOWN = 40
"""So many options that differ from their defaults are named; the records beside the results have them all."""


@dataclass(frozen=True)
class Methods:
    """Text to paste: a paragraph, and the references that it names by key, as BibTeX."""

    text: str
    bibtex: str


def describe(
    versions: Versions,
    tables: Sequence[ResultTable],
    videos: Sequence[Video],
    *,
    expressions: Sequence[Expression],
    adapters: Mapping[str, str],
) -> Methods:
    """What ran: data, preprocessing, methods, protocol, options that differ from the defaults, software.

    Args:
        versions: what the records of the results say together.
        tables: of the experiments.
        videos: of all data sets.
        expressions: annotated, of all data sets.
        adapters: data set -> adapter that read it.
    """
    cited: dict[str, None] = {}

    def cite(key: str) -> str:
        """The mark of a reference, which is then listed."""
        if key not in references():
            return ""
        cited[key] = None
        return f" [{key}]"

    sentences = [
        *(_data(name, videos, expressions, cite(adapters.get(name, ""))) for name in _names(videos)),
        *_preprocessing(versions, cite),
        *(s for table in tables for s in _experiment(table, versions, cite)),
        *_differences(versions),
        _software(versions, cite),
    ]
    return Methods(" ".join(sentences), "\n".join([OWN, *(references()[key] for key in cited)]))


def references() -> dict[str, str]:
    """Key -> BibTeX entry of everything that a run may use."""
    lines = Path(__file__).with_name("references.bib").read_text(encoding="utf-8").splitlines()
    return {line.partition("{")[2].partition(",")[0]: line for line in lines if line}


def adapters_of(indexes: Sequence[Path]) -> dict[str, str]:
    """Data set -> adapter, from the records of `videos.csv`; nothing of a file without one."""
    found = {}
    for path in indexes:
        if provenance.provenance_path(path).is_file():
            parameters = provenance.read_provenance(path)["parameters"]
            found[path.parent.name] = str(parameters.get("adapter") or path.parent.name)
    return found


def _names(videos: Sequence[Video]) -> list[str]:
    return list(dict.fromkeys(v.dataset for v in videos))


def _data(name: str, videos: Sequence[Video], expressions: Sequence[Expression], reference: str) -> str:
    own = [v for v in videos if v.dataset == name]
    kinds = {k: sum(e.dataset == name and e.kind == k for e in expressions) for k in ("micro", "macro")}
    counts = f"{len({v.subject for v in own})} subjects, {len(own)} videos"
    return f"{name}{reference}: {counts}, {kinds['micro']} micro- and {kinds['macro']} macro-expressions."


def _preprocessing(versions: Versions, cite: Any) -> Iterator[str]:
    faces, crops = _values(versions, "faces"), _values(versions, "crops")
    if faces:
        backend = _one(faces, "backend")
        how = f"with {backend}{cite(backend)}" if backend != "given" else "by landmarks of another program"
        size = f" of {_one(crops, 'size')} px" if crops else ""
        yield f"Faces were found {how} and cut out as aligned crops{size} ({_one(faces, 'alignment')} alignment)."
    flow = _values(versions, "flow") or _values(versions, "apexdiff", "flow.")
    if flow:
        yield f"Optical flow is TV-L1{cite('tvl1')}, preset {_one(flow, 'preset')}."
    streams = [s for s in STREAM_STAGES if s in versions.stages]
    if streams:
        i3d = cite("i3d") if any(s.startswith("i3d") for s in streams) else ""
        yield f"Feature streams: {', '.join(streams)}{i3d}."


def _experiment(table: ResultTable, versions: Versions, cite: Any) -> Iterator[str]:
    own = [p for p in _values(versions, FOLDS[table.kind]) if p.get("experiment") == table.experiment]
    if not own:
        return
    held = "data set" if _one(own, "leave") == "dataset" else "subject"
    methods = ", ".join(dict.fromkeys(f"{p['name']}" + _seeds(p) for p in own))
    yield f"{table.kind.capitalize()} experiment {table.experiment}: {methods}; each fold holds one {held} out."
    tables = [p for p in _values(versions, "tables") if p.get("methods") == json.dumps(_rows(own))] or _values(
        versions, "tables"
    )
    samples = f"{_one(tables, 'bootstrap')} bootstrap samples over subjects" if tables else "a bootstrap over subjects"
    if table.kind == "spotting":
        matching = f", matching {_one(tables, 'matching')}" if tables else ""
        yield (
            f"Thresholds were chosen on training subjects alone (calibration: {_one(own, 'calibrate')}). "
            f"F1 counts detections with an IoU of at least 0.5{matching}; 95 % intervals are from {samples}."
        )
        return
    protocol = _one(own, "protocol")
    what = f"the protocol {protocol}{cite(protocol)}" if protocol not in ("null", "") else "classes of our own"
    yield f"It uses {what}. UF1 and UAR are pooled over all folds; 95 % intervals are from {samples}."


def _rows(own: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(p["name"] for p in own))


def _seeds(parameters: Mapping[str, str]) -> str:
    number, first = parameters.get("seeds", "1"), parameters.get("seed", "0")
    return f" ({number} seeds from {first})" if number != "1" else f" (seed {first})"


def _values(versions: Versions, stage: str, prefix: str = "") -> list[dict[str, str]]:
    """The sets of options that a stage ran with, of those below `prefix`."""
    record = versions.stages.get(stage, StageRecord(stage))
    return [{k.removeprefix(prefix): v for k, v in p if k.startswith(prefix)} for p in record.parameters]


def _one(parameters: Sequence[Mapping[str, str]], name: str) -> str:
    """The value of an option; several ones joined."""
    return " or ".join(dict.fromkeys(p[name] for p in parameters if name in p))


def _differences(versions: Versions) -> Iterator[str]:
    found = list(dict.fromkeys(d for stage in versions.stages.values() for d in differences(stage)))
    if not found:
        yield "All options have their defaults."
        return
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    yield f"Options that differ from the defaults: {'; '.join(found[:SHOWN])}{more}."


def differences(stage: StageRecord) -> list[str]:
    """`stage.option = value` of every option that a stage ran with and that is not its default."""
    if stage.stage not in STAGES:
        return []
    model = STAGES[stage.stage].params
    plain = {n: f.get_default(call_default_factory=True) for n, f in model.model_fields.items() if not f.is_required()}
    dumped = {n: v.model_dump(mode="json") if hasattr(v, "model_dump") else v for n, v in plain.items()}
    defaults = dict(flatten(json.loads(json.dumps(dumped))))
    found: list[str] = []
    for parameters in stage.parameters:
        given = dict(parameters)
        known = defaults | _method_defaults(stage.stage, given)
        name = f"{stage.stage}.{given['name']}" if "name" in given else stage.stage
        changed = (k for k, v in given.items() if k.partition(".")[0] not in IDENTITY and known.get(k) != v)
        found += [f"{name}.{key} = {given[key]}" for key in changed]
    return found


def _method_defaults(stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """Defaults of a method's own options; none of one that cannot be imported any more."""
    kind = next((kind for kind, fold in FOLDS.items() if fold == stage), None)
    if kind is None or "method" not in given:
        return {}
    try:
        options = find_method(kind, given["method"]).Options()
    except (UserError, ValueError):
        return {}
    return dict(flatten({"options": options.model_dump(mode="json")}))


def _software(versions: Versions, cite: Any) -> str:
    listed = [
        f"{name} {' and '.join(dict.fromkeys(v.split(' (source')[0] for v in values))}"
        for name, values in versions.software.items()
        if name != "machine"
    ]
    return f"Everything ran in one Snakemake workflow{cite('snakemake')}. Software: {', '.join(listed)}."
