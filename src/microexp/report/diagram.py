"""What flows between the stages, as arrows and a Mermaid diagram, and every file of a run, as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator

from microexp.pipeline import STAGES, writers


def arrows() -> list[tuple[str, str]]:
    """(writer, reader) of the stages that diagrams show; what passes through others in between counts."""
    found: list[tuple[str, str]] = []
    for stage in STAGES.values():
        if stage.drawn:
            writers = (w for item in stage.inputs.values() for name in item.writers for w in _drawn(name))
            found += [(writer, stage.name) for writer in writers]
    direct = dict.fromkeys(found)
    return [(a, b) for a, b in direct if not any((a, c) in direct and (c, b) in direct for c in STAGES)]


def _drawn(name: str) -> Iterator[str]:
    if STAGES[name].drawn:
        yield name
        return
    for item in STAGES[name].inputs.values():
        for writer in item.writers:
            yield from _drawn(writer)


def mermaid() -> str:
    """The stages and what flows between them, as a Mermaid diagram."""
    return "flowchart LR\n" + "\n".join(f"  {a} --> {b}" for a, b in arrows())


def tree() -> str:
    """Every file that a run makes, as a Markdown table."""
    rows = [f"| `{output.path}` | `{stage}` | {output.help} |" for stage, _, output in writers()]
    return "| file | stage | what it is |\n|---|---|---|\n" + "\n".join(rows)
