"""`microexp flowmaps`: turn flow maps that others published into apexdiff shards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from microexp.apexdiff.rest_level import SCALES, ZEROS
from microexp.datasets import protocols
from microexp.datasets.flowmaps import count_lines, read_maps, write_shards


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `read_maps`, for every command that reads such maps."""
    parser.add_argument("--zero", choices=ZEROS, help="level of zero motion (default: robust; known for flow in px)")
    parser.add_argument("--scale", choices=SCALES, help="what an image is divided by (default: rms; none for px)")
    parser.add_argument(
        "--order", choices=("rgb", "bgr"), default="rgb", help="colour images: channels of u, v, strain"
    )
    parser.add_argument(
        "--classes", default=",".join(protocols.CLASSES), help="names of labels 0, 1, ... in order, comma-separated"
    )


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `read_maps` from the command line."""
    return {"classes": args.classes.split(","), "zero": args.zero, "scale": args.scale, "order": args.order}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp flowmaps`."""
    parser.add_argument("maps", type=Path, help="npz of flow maps, or index CSV of a folder of images")
    parser.add_argument("folder", type=Path, help="where the shards go: results/apexdiff")
    add_reading_arguments(parser)
    parser.add_argument(
        "--second-view",
        choices=("strain", "v_minus_u"),
        default="strain",
        help="surrogate of MDML's view of grey levels, which published maps lack",
    )


def main(args: argparse.Namespace) -> int:
    """`microexp flowmaps MAPS FOLDER`: write apexdiff shards."""
    read = read_maps(args.maps, **reading(args))
    paths = write_shards(read, args.folder, args.second_view)
    print("\n".join(count_lines(read)))
    print(f"{len(read)} clips of {len(paths)} subjects written to {args.folder}")
    return 0
