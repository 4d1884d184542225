"""Says which tests were skipped and why, and fails when one was skipped although what it needs is there.

    python .ci/check_skips.py LOG

LOG is what pytest printed with `-ra`. A test that is skipped without need tests nothing, and nobody looks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] (\S+?): (.*)$", re.M)


def has_slurm() -> bool:
    """Whether the tests can start a SLURM of their own."""
    programs = ("slurmctld", "slurmd", "munged", "sbatch")
    return os.getuid() == 0 and all(map(shutil.which, programs)) and not os.path.lexists("/etc/slurm/slurm.conf")


def can_mount() -> bool:
    """Whether the tests can mount a small file system."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return done.returncode == 0


def has_compiler() -> bool:
    """Whether the stub of a file system without locks can be built."""
    return any(map(shutil.which, ("cc", "gcc", "clang")))


def has_browser() -> bool:
    """Whether pages can be opened as people see them."""
    return any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")))


NEEDS: Mapping[str, Callable[[], bool]] = {
    "SLURM": has_slurm, "mount": can_mount, "C compiler": has_compiler, "browser": has_browser,
}  # fmt: skip
"""Word in the reason of a skip -> whether what it asks for is there."""


def unneeded(skips: list[tuple[str, str]], needs: Mapping[str, Callable[[], bool]] = NEEDS) -> list[str]:
    """What is wrong: one line for every skip (place, reason) that asks for something that is there."""
    return [
        f"{place} was skipped ({reason}), but it is there: {word}"
        for place, reason in skips
        for word, is_there in needs.items()
        if word in reason and is_there()
    ]


def main(arguments: list[str]) -> int:
    """Exit status 1 when a test was skipped without need."""
    text = Path(arguments[0]).read_text(encoding="utf-8", errors="replace")
    found = SKIPPED.findall(text)
    print(f"skipped: {sum(int(count) for count, _, _ in found)} tests" + (":" if found else ""))
    for count, place, reason in found:
        print(f"  {count} in {place}: {reason}")
    wrong = unneeded([(place, reason) for _, place, reason in found])
    for line in wrong:
        print(f"FAILED: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
