"""Numbers as small pictures: white with a black rim, readable on any ground, drawn once and pasted wherever they are needed.

Rendering letters takes far longer than pasting them, and the objects of every picture have the same numbers, from 1 on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


@lru_cache(maxsize=2048)
def numeral(number: int, size: int) -> tuple[Any, Any, int]:
    """A number to be pasted with `Image.paste(picture, place, mask)`.

    Args:
        number: at least 0.
        size: of the letters, pixels.

    Returns:
        The picture (RGB), its mask (L), and by how many pixels it begins left of and above where the text begins.
    """
    from PIL import Image

    digits = _digits(size)
    edge = rim(size)
    places, end = [], 0.0
    for letter in str(number):
        places.append((digits[letter], round(end)))
        end += digits[letter][2]
    height = max(fill.shape[0] for (fill, _, _), _ in places)
    width = max(left + fill.shape[1] for (fill, _, _), left in places)
    letters, rims = np.zeros((2, height, width), dtype=np.uint8)
    for (fill, around, _), left in places:
        for whole, part in ((letters, fill), (rims, around)):
            here = whole[: part.shape[0], left : left + part.shape[1]]
            np.maximum(here, part, out=here)
    # White laid over black laid over the ground, as one layer.
    white = letters / 255.0
    seen = 1.0 - (1.0 - white) * (1.0 - rims / 255.0)
    shade = np.rint(255.0 * white / np.where(seen > 0, seen, 1.0)).astype(np.uint8)
    mask = np.rint(255.0 * seen).astype(np.uint8)
    return Image.fromarray(np.repeat(shade[:, :, None], 3, axis=2)), Image.fromarray(mask), edge


def rim(size: int) -> int:
    """Width of the rim around letters of a size, pixels."""
    return max(1, size // 8)


@lru_cache(maxsize=16)
def _digits(size: int) -> dict[str, tuple[Mask, Mask, float]]:
    """Of each digit: the letter, the letter with its rim, and how far the next one begins after it."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    edge = rim(size)
    made: dict[str, tuple[Mask, Mask, float]] = {}
    for letter in "0123456789":
        _, _, right, bottom = font.getbbox(letter, stroke_width=edge)
        masks = []
        for stroke in (0, edge):
            canvas = Image.new("L", (int(np.ceil(right)) + edge, int(np.ceil(bottom)) + edge))
            ImageDraw.Draw(canvas).text((edge, edge), letter, font=font, fill=255, stroke_width=stroke)
            masks.append(np.asarray(canvas))
        made[letter] = (masks[0], masks[1], float(font.getlength(letter)))
    return made
