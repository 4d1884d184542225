"""Copies the workflow into wheels, so that it runs without the repository. All else is in `pyproject.toml`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
WORKFLOW = ("Snakefile", "config.yaml", "workflow/**/*.smk", "profiles/**/*.yaml", "envs/*", "docs/config.schema.json")


class BuildWithWorkflow(build_py):
    """Puts the workflow beside the modules; `microexp.run.workflow` finds it there."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:  # the source tree itself is used
            return
        for pattern in WORKFLOW:
            for path in ROOT.glob(pattern):
                target = Path(self.build_lib, "microexp", "shipped", path.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(cmdclass={"build_py": BuildWithWorkflow})
