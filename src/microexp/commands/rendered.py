"""`microexp rendered`: render labelled flow of known action units, a source domain of recognition."""

from __future__ import annotations

import argparse
from pathlib import Path

from microexp.datasets import flowmaps
from microexp.datasets.protocols import MEGC2019


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp rendered`."""
    parser.add_argument("folder", type=Path, help="where the shards go; those of the clips to recognise lie there too")
    parser.add_argument("--clips", type=int, default=6000, help="number of clips, classes of MEGC2019 equally often")
    parser.add_argument("--people", type=int, default=16, help="number of different faces")
    parser.add_argument("--size", type=int, default=28, help="side of the maps, px; that of the clips to recognise")
    parser.add_argument("--seed", type=int, default=0, help="random seed")


def main(args: argparse.Namespace) -> int:
    """`microexp rendered FOLDER`: write apexdiff shards of the data set `rendered`, a labelled source."""
    from microexp.rendered.expressions import render_source

    clips = render_source(MEGC2019.classes, args.clips, args.seed, size=args.size, people=args.people)
    paths = flowmaps.write_shards(clips, args.folder)
    print("\n".join(flowmaps.count_lines(clips)))
    print(f"{len(clips)} clips of {len(paths)} people written to {args.folder}")
    return 0
