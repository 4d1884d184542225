"""The demo as a data set: it lies on disk as anyone's own data would, under `results/demo`."""

from __future__ import annotations

from dataclasses import replace

from microexp.datasets import folder
from microexp.datasets.base import Counts, Release
from microexp.datasets.demo.layout import demo_subjects


def published(release: Release) -> Counts:
    """Nothing is published: the configuration says how much is rendered."""
    return {}


ADAPTER = replace(folder.ADAPTER, published=published, default_root="results/demo", planned=demo_subjects)
