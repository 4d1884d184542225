"""All that is to be known of a GPU, in one run of less than eight minutes: `make gpu`, or `python benchmarks/gpu.py`.

Runs from the source tree, with Python 3.11 to 3.13 and any torch from 2.9 on; nothing has to be installed but what is
measured needs. Each part is a process of its own with a time limit: whatever fails, hangs or is missing becomes a row
of the table that is printed at the end, and the other parts go on. The exit status is 1 when a part failed, was not
run, or disagreed with the CPU.

    python benchmarks/gpu.py                           the first GPU that torch sees
    python benchmarks/gpu.py --device cpu              a rehearsal with small sizes, seconds
    python benchmarks/gpu.py --only i3d aemnet         some parts
    python benchmarks/gpu.py --out gpu.md              the table into a file, too

What is measured is in `gpu_parts.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROW = "ROW\t"
"""What a part prints before a row as JSON."""
ALL_SECONDS = 460
RESERVE_S = 2


@dataclass(frozen=True)
class Part:
    """What is measured in one process: its title, its limit in seconds, and what has to be installed."""

    title: str
    limit_s: float
    needs: tuple[str, ...]


TORCH = ("torch", "numpy", "pydantic", "rich")
PARTS = {
    "machine": Part("machine", 60, ("torch",)),
    "tests": Part("tests marked `gpu`", 120, (*TORCH, "pytest", "numba")),
    "flow": Part("TV-L1", 200, (*TORCH, "numba")),
    "opencv_cuda": Part("TV-L1 of OpenCV on CUDA", 60, ("numpy", "pydantic", "opencv-contrib-python-headless")),
    "i3d": Part("I3D", 90, TORCH),
    "aemnet": Part("AEM-Net, training", 90, (*TORCH, "numba")),
    "mdml": Part("MDML, stacked folds", 90, TORCH),
}
SAME_NAME = {
    "opencv-contrib-python-headless": (
        "opencv-contrib-python-headless", "opencv-contrib-python", "opencv-python-headless", "opencv-python", "opencv",
    )
}  # fmt: skip
"""Other distributions that bring the same module."""


def version(package: str) -> str | None:
    """The installed version of a distribution, None where it is missing."""
    for name in SAME_NAME.get(package, (package,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def missing(part: Part) -> list[str]:
    """What a part needs and is not installed."""
    return [package for package in part.needs if version(package) is None]


def run_part(name: str, options: Sequence[str], limit_s: float) -> tuple[list[dict[str, Any]], str]:
    """Rows that part `name` printed, and what stopped it ("" when nothing did)."""
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "gpu_parts.py"), name, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, cwd=ROOT,
    )  # fmt: skip
    late = threading.Event()
    timer = threading.Timer(min(limit_s, threading.TIMEOUT_MAX), lambda: (late.set(), _end(process)))
    timer.daemon = True
    timer.start()
    rows: list[dict[str, Any]] = []
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(ROW):
            rows.append(json.loads(line.removeprefix(ROW)))
            print(f"  {said(rows[-1])}", file=sys.stderr, flush=True)
        else:
            last = line.strip() or last
            print(f"  | {line.rstrip()}", file=sys.stderr, flush=True)
    status = process.wait()
    timer.cancel()
    if late.is_set():
        return rows, f"stopped after {limit_s:.0f} s"
    return rows, "" if status == 0 else f"failed (exit status {status}): {last[:200]}"


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def said(row: Mapping[str, Any]) -> str:
    """A row in one line, for who waits."""
    return ", ".join(str(row[key]) for key in ("what", "here", "beside", "difference") if row.get(key))


def measure(names: Sequence[str], options: Sequence[str], seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """(part, row) of all parts, with a row of its own for whatever was not measured."""
    end = time.monotonic() + seconds - RESERVE_S
    no_gpu = ""
    for name in names:
        part = PARTS[name]
        print(f"{part.title} …", file=sys.stderr, flush=True)
        left = min(math.inf if seconds == math.inf else part.limit_s, end - time.monotonic())
        if lacking := missing(part):
            yield name, {"what": part.title, "here": f"not run, missing: {', '.join(lacking)}", "ok": False}
        elif no_gpu:
            yield name, {"what": part.title, "here": f"not run: {no_gpu}", "ok": False}
        elif left < 1:
            yield name, {"what": part.title, "here": f"not run: the {seconds:.0f} s are over", "ok": False}
        else:
            rows, problem = run_part(name, options, left)
            yield from ((name, row) for row in rows)
            if problem:
                yield name, {"what": part.title, "here": problem, "ok": False}
            if name == "machine" and not all(row.get("ok", True) for row in rows):
                no_gpu = "no such device"


def table(found: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | here | beside it | difference to the CPU | peak memory |", "|---|---|---|---|---|"]
    for name, row in found:
        if name != "machine" or not row.get("ok", True):
            cells = [row.get(key) or "" for key in ("what", "here", "beside", "difference", "memory")]
            lines.append("| " + " | ".join(re.sub(r"\s*[|\n]\s*", " ", str(cell)) for cell in cells) + " |")
    return "\n".join(lines)


def heading(found: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Date, device, versions, and what is not installed."""
    wanted = list(dict.fromkeys(package for part in PARTS.values() for package in part.needs))
    installed = [f"{package} {version(package)}" for package in wanted if version(package)]
    lacking = [package for package in wanted if not version(package)]
    device = "; ".join(str(row["here"]) for name, row in found if name == "machine") or "machine not asked"
    lines = [
        f"**{device}**",
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {', '.join(installed)}",
    ]
    return "\n\n".join(lines + ([f"Not installed: {', '.join(lacking)}."] if lacking else []))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; see the head of this file for the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal (default: cuda)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run")
    parser.add_argument("--seconds", type=float, help=f"for all of it (default: {ALL_SECONDS}; on a CPU no limit)")
    parser.add_argument("--out", type=Path, help="Markdown file to write, beside standard output")
    args = parser.parse_args(argv)
    start = time.monotonic()
    names = list(dict.fromkeys(["machine", *args.only]))
    found: list[tuple[str, dict[str, Any]]] = []
    seconds = args.seconds or (math.inf if args.device == "cpu" else ALL_SECONDS)
    try:
        for row in measure(names, ["--device", args.device], seconds):
            found.append(row)
    except KeyboardInterrupt:
        found.append(("", {"what": "interrupted", "ok": False}))
    wrong = sum(not row.get("ok", True) for _, row in found)
    verdict = "All of it ran and agrees." if not wrong else f"{wrong} rows failed, were not run, or disagree."
    text = f"{heading(found)}\n\n{table(found)}\n\n{verdict} {time.monotonic() - start:.0f} s in all.\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
