"""What a microscope and its camera put around and over a picture: the round edge of the field of view, scale bars, letters."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cloister.applications.crystals.mimics import Layer

HIDDEN: Final = 0.5
"""Light of the field below which nothing is seen that could be counted."""


def round_field(rng: np.random.Generator, dark: Layer, glow: Layer | None) -> NDArray[np.bool_]:
    """Darkens what lies beyond the field of view, in place, and tells which pixels see something, bool [height, width]."""
    height, width = dark.shape
    radius = float(rng.uniform(0.42, 0.9)) * max(height, width)
    x, y = (float(rng.normal(0.5, 0.12)) * side for side in (width, height))
    u = (np.arange(width, dtype=np.float32) - x)[None, :]
    v = (np.arange(height, dtype=np.float32) - y)[:, None]
    soft = float(rng.uniform(0.7, 6.0))
    light = 1.0 / (1.0 + np.exp(np.clip((np.sqrt(u * u + v * v) - radius) / soft, -30, 30)))
    light = light.astype(np.float32)
    dark += np.log(np.maximum(light, np.float32(rng.uniform(0.002, 0.12))))
    if glow is not None:
        glow *= light[..., None]
    seen: NDArray[np.bool_] = light > HIDDEN
    return seen


def write_on(
    rng: np.random.Generator, image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture with a scale bar, a line of text, or both, and where they are, bool [height, width]."""
    height, width = image.shape[:2]
    size = int(rng.uniform(0.03, 0.08) * height) + 8
    words = f"{int(rng.choice([10, 20, 50, 100, 200, 500, 1000]))} {rng.choice(['um', 'mm', 'px'])}"
    if rng.random() < 0.4:
        words = f"{int(rng.integers(1990, 2040))}-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d} {words}"
    long, bar = int(rng.uniform(0.12, 0.4) * width), int(rng.integers(2, max(3, size // 3)))
    tall = 2 * size + bar
    left = int(rng.choice([size, max(size, width - long - 2 * size)]))
    top = int(rng.choice([size // 2, max(0, height - tall - size)]))
    light = rng.random() < 0.5
    paint = (255, 255, 255) if light else (0, 0, 0)
    if rng.random() < 0.3:
        paint = int(rng.integers(0, 256)), int(rng.integers(0, 256)), int(rng.integers(0, 256))
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    where = Image.new("1", (width, height), 0)
    mark = ImageDraw.Draw(where)
    box = (left - size // 2, top - size // 4, left + long + size // 2, top + tall)
    if rng.random() < 0.35:
        pen.rectangle(box, fill=(0, 0, 0) if light else (255, 255, 255))
        mark.rectangle(box, fill=1)
    if rng.random() < 0.85:
        pen.rectangle((left, top, left + long, top + bar), fill=paint)
        mark.rectangle((left, top, left + long, top + bar), fill=1)
    font = ImageFont.load_default(size)
    pen.text((left, top + bar + 2), words, fill=paint, font=font)
    mark.text((left, top + bar + 2), words, fill=1, font=font)
    return np.asarray(canvas), np.asarray(where, dtype=bool)
