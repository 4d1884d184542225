"""How long Snakemake takes to plan a large run: CPU time of a dry-run with 10,000 jobs.

    python benchmarks/workflow.py [SUBJECTS]

One demo data set with a spotting and a recognition experiment has 12 jobs per subject.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
datasets: {{demo: {{}}}}
demo: {{subjects: {subjects}}}
spotting: {{demo: {{datasets: [demo]}}}}
recognition: {{demo: {{datasets: [demo], classes: {{a: [happiness], b: [disgust]}}}}}}
"""


def plan(subjects: int) -> tuple[int, float]:
    """(jobs, CPU seconds) of a dry-run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(CONFIG.format(subjects=subjects))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-s",
            str(ROOT / "Snakefile"),
            "-n",
            "--quiet",
            "rules",
        ]
        text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = re.search(r"^total +(\d+)$", text.stdout + text.stderr, re.M)
    assert jobs is not None
    return int(jobs[1]), after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    for subjects in [int(a) for a in sys.argv[1:]] or [10, 100, 833]:
        jobs, seconds = plan(subjects)
        print(f"{subjects} subjects: {jobs} jobs planned in {seconds:.1f} s of CPU time")
