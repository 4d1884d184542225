"""Renders templates and small pictures: everything is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import functools
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates; an unknown variable is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """A page as text."""
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment().get_template(template).render(style=style, **values)


# Small pictures as `data:` addresses: crops, flow as colours, signed differences. Same arrays, same bytes.

JPEG_QUALITY = 88


def photo(image: np.ndarray, side_px: int = 96) -> str:
    """(S, S, 3 or 1) uint8 RGB or grey -> JPEG address, shrunk to `side_px` when it is larger."""
    import cv2

    if image.shape[0] > side_px:
        image = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    image = image.reshape(*image.shape[:2], -1)
    bgr = np.ascontiguousarray(image[..., ::-1])
    return _address(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def drawing(image: np.ndarray) -> str:
    """(S, S, 3) uint8 RGB -> PNG address; the page enlarges it."""
    import cv2

    return _address(".png", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _address(kind: str, image: np.ndarray, options: list[int]) -> str:
    import cv2

    done, data = cv2.imencode(kind, image, options)
    assert done
    media = {".jpg": "image/jpeg", ".png": "image/png"}[kind]
    return f"data:{media};base64,{base64.b64encode(data.tobytes()).decode()}"


def flow_colours(flow: np.ndarray, bound: float) -> np.ndarray:
    """(H, W, 2) flow -> (H, W, 3) uint8: hue is direction, white no motion, full colour `bound` or more."""
    import cv2

    angle = np.arctan2(flow[..., 1], flow[..., 0])  # rows run downwards, so that the hue turns clockwise
    strength = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / max(bound, 1e-9), 0, 1)
    hue = np.rint(np.degrees(angle) % 360 / 2) % 180
    hsv = np.stack([hue, np.rint(255 * strength), np.full_like(hue, 255)], -1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def colour_wheel(side: int = 96) -> np.ndarray:
    """(side, side, 3) uint8: the colour of every motion, the rim standing for the bound."""
    axis = np.linspace(-1.02, 1.02, side)
    flow = np.stack(np.meshgrid(axis, axis), -1)
    picture = flow_colours(flow, 1.0)
    picture[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 255
    return picture


def signed_colours(values: np.ndarray, bound: float) -> np.ndarray:
    """(H, W) -> (H, W, 3) uint8: white at zero, red above, blue below, full colour at `bound`."""
    x = np.clip(values / max(bound, 1e-9), -1, 1)[..., None]
    red, blue = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])
    colours = np.where(x >= 0, 255 + x * (red - 255), 255 - x * (blue - 255))
    rounded: np.ndarray = np.rint(colours).astype(np.uint8)
    return rounded


def bound_of(values: np.ndarray, share: float = 0.99) -> float:
    """A bound for colours: the magnitude that `share` of the values stay below."""
    magnitude = np.abs(values) if values.ndim == 2 else np.hypot(values[..., 0], values[..., 1])
    return float(np.quantile(magnitude, share)) if magnitude.size else 1.0
