"""Runs of the workflow for tests: start, wait, kill, compare."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.run import provenance
from microexp.run.provenance import RECORD_HASH

ROOT = Path(__file__).resolve().parents[2]
MINI = Path(__file__).with_name("mini.yaml")
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


@dataclass(frozen=True)
class Outcome:
    """What a run printed and how it ended."""

    status: int
    text: str

    def started(self) -> list[str]:
        """First output of every job that was started, in order."""
        return [self._outputs[job] for job in self._order]

    def finished(self) -> list[str]:
        """First output of every job that was finished."""
        return [
            self._outputs[job] for job in re.findall(r"^Finished jobid: (\d+)", self.text, re.M) if job in self._outputs
        ]

    @property
    def _order(self) -> list[str]:
        return [m[2] for m in _JOB.finditer(self.text)]

    @property
    def _outputs(self) -> dict[str, str]:
        return {m[2]: m[1] for m in _JOB.finditer(self.text)}

    def jobs(self) -> dict[str, int]:
        """Jobs per rule of a dry-run, from Snakemake's table; without the target rule."""
        table = self.text.partition("Job stats:")[2].partition("total")[0]
        counts = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", table, re.M)}
        counts.pop("all", None)
        return counts

    def rules(self) -> Counter[str]:
        """Jobs per rule that were started."""
        return Counter(m[1] for m in re.finditer(r"^(?:local)?rule (\w+):$", self.text, re.M))


_JOB = re.compile(
    r"^(?:local)?rule \w+:\n(?:    input: .*\n)?    output: ([^,\n]+).*\n(?:    .*\n)*?    jobid: (\d+)$", re.M
)


def prepare(folder: Path) -> Path:
    """A working folder for a run of the miniature; the I3D weights are shared."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = ROOT / "weights"
    weights.mkdir(exist_ok=True)
    if not (folder / "weights").exists():
        (folder / "weights").symlink_to(weights)
    return folder


def command(*arguments: str, config: Path = MINI, cores: int = 2) -> list[str]:
    """The command line of a run of the miniature."""
    return [*SNAKEMAKE, "-s", str(ROOT / "Snakefile"), "--configfile", str(config), "--cores", str(cores), *arguments]


def run(folder: Path, *arguments: str, config: Path = MINI, cores: int = 2, timeout_s: float = 600) -> Outcome:
    """Run the workflow in `folder` to its end."""
    done = subprocess.run(
        command(*arguments, config=config, cores=cores), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=timeout_s, start_new_session=True,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout)


class Running:
    """A run in the background, in a process group of its own."""

    def __init__(self, folder: Path, *arguments: str, config: Path = MINI, cores: int = 2) -> None:
        self.folder = folder
        self.log = folder / f"run-{time.monotonic_ns()}.txt"
        line = command(*arguments, config=config, cores=cores)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                line, cwd=folder, stdout=log, stderr=log, start_new_session=True, preexec_fn=_interruptible
            )

    def wait(self, timeout_s: float = 300) -> Outcome:
        """Wait for the end."""
        return Outcome(self.process.wait(timeout_s), self.log.read_text())

    def asked_to_end(self, grace_s: float = 45) -> Outcome:
        """Wait for the end after SIGTERM or SIGINT, and kill what does not end, as batch systems do.

        Snakemake's handler of these signals takes a lock; when the signal meets Snakemake while it holds that lock, it
        hangs.
        """
        try:
            return self.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill_group()
            return self.wait(10)

    def kill_group(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the run and all its jobs, as Ctrl-C or a batch system does."""
        os.killpg(self.process.pid, number)

    def jobs(self) -> list[int]:
        """Process ids of the jobs of this run."""
        return [pid for pid, run_pid in job_processes() if run_pid == self.process.pid]

    def wait_for_job(self, timeout_s: float = 60) -> int:
        """Process id of a job, as soon as there is one."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and self.process.poll() is None:
            if jobs := self.jobs():
                return jobs[0]
            time.sleep(0.02)
        raise AssertionError("no job was started: " + self.log.read_text()[-2000:])


def job_processes() -> Iterator[tuple[int, int]]:
    """(process id, process id of its run) of every living job of any run."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        for variable in variables:
            if variable.startswith(b"MICROEXP_RUN=") and state not in "ZX":
                yield int(entry.name), int(variable.split(b"=")[1].split(b":")[0])


def jobs_in(folder: Path) -> list[int]:
    """Living jobs that work in `folder`."""
    found = []
    for pid, _ in job_processes():
        try:
            if (Path("/proc") / str(pid) / "cwd").resolve() == folder.resolve():
                found.append(pid)
        except OSError:
            continue
    return found


def orphans(run_pid: int, within_s: float = 5.0) -> list[int]:
    """Jobs of a dead run that are still alive after `within_s`."""
    end = time.monotonic() + within_s
    while alive := [pid for pid, of in job_processes() if of == run_pid]:
        if time.monotonic() > end:
            return alive
        time.sleep(0.1)
    return []


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under results, provenance included."""
    results = folder / "results"
    return {
        p.relative_to(results).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(results.rglob("*"))
        if p.is_file()
    }


def differing(one: Path, other: Path) -> list[str]:
    """Names of results that the two folders do not have alike."""
    a, b = hashes(one), hashes(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def note(line: str) -> None:
    """Add a figure to the file that `MICROEXP_FIGURES` names, which .ci/run prints at its end."""
    if path := os.environ.get("MICROEXP_FIGURES"):
        with open(path, "a") as file:
            file.write(line + "\n")


def copy_run(source: Path, target: Path) -> Path:
    """A copy of a finished run that Snakemake takes for finished, too."""
    shutil.copytree(
        source, target, symlinks=True, copy_function=shutil.copy2, ignore=shutil.ignore_patterns("run-*.txt")
    )
    return target


def forget(folder: Path, *parts: str) -> None:
    """Delete results of a run: files or folders below `results`."""
    for part in parts:
        path = folder / "results" / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def forget_subject(folder: Path, subject: str) -> list[str]:
    """Delete what stages and folds made of one subject, but not the videos and pages; returns the files' names."""
    found = [path.relative_to(folder).as_posix() for path in (folder / "results").rglob(f"*{subject}*")]
    gone = [n for n in found if not n.endswith(".json") and not n.startswith(("results/demo/", "results/report/"))]
    targets = [name for name in gone if (folder / name).is_file()]
    targets += [p.relative_to(folder).as_posix() for n in gone for p in (folder / n).glob("*") if p.suffix != ".json"]
    for name in gone:
        forget(folder, name.removeprefix("results/"))
    return targets


def record_anew(path: Path) -> None:
    """Give a result that was replaced the record that the stage which writes it would have given it."""
    record = provenance.read_provenance(path)
    provenance.write_provenance(
        path, {n: v for n, v in record.items() if n not in ("size_bytes", "sha256", RECORD_HASH)}
    )


def mini(folder: Path, name: str, change: Sequence[tuple[str, str]]) -> Path:
    """The miniature's configuration with texts replaced, as `folder`/`name`."""
    text = MINI.read_text()
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text)
    return path


def _interruptible() -> None:
    """What a shell puts into the background ignores Ctrl-C, and so would the run, had it inherited that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
