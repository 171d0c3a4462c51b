"""Pictures brought to the size at which a network knows their objects: by the tool that uses it, and where it is trained."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FEW: Final = 5
"""Objects from which their median size is believed."""

KEEP: Final = (0.75, 1.5)
"""Typical sizes over the wanted one that need no rescaling: a network knows a range, and resampling costs sharpness."""

_STRIP: Final = 256
"""Rows of a smaller copy that are made at a time."""

SMALLEST, LARGEST = 0.05, 1.5
"""Factors at the ends. Noise that is enlarged more looks like small objects."""


def known_size(
    diameters: NDArray[Any], typical: float, smallest: float = SMALLEST, largest: float = LARGEST
) -> float:
    """The factor by which a picture is resized so that its objects' median diameter becomes a network's typical one.

    Args:
        diameters: of the picture's objects, pixels.
        typical: that the network knows best, pixels.
        smallest: least factor.
        largest: greatest factor.

    Returns:
        1 where the size is nearly right, or too few objects tell it.
    """
    if len(diameters) < FEW:
        return 1.0
    ratio = float(np.median(diameters)) / typical
    return 1.0 if KEEP[0] <= ratio <= KEEP[1] else float(np.clip(1.0 / ratio, smallest, largest))


def resized(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    """A picture in another size, by averaging when shrinking and cubic interpolation when enlarging.

    Args:
        pixels: uint8 [height, width] or [height, width, 3].
        factor: new size over old.
    """
    from PIL import Image

    if factor == 1.0:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if factor > 1:
        return np.ascontiguousarray(
            np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        )
    made = np.empty((size[1], size[0], *pixels.shape[2:]), dtype=np.uint8)
    # In strips: Pillow takes four bytes for a colour's three, and a whole picture of 50 megapixels would be there once more.
    tall = height / size[1]
    for top in range(0, size[1], _STRIP):
        bottom = min(top + _STRIP, size[1])
        first, last = int(top * tall), min(height, int(np.ceil(bottom * tall)))
        strip = Image.fromarray(np.ascontiguousarray(pixels[first:last]))
        box = (0.0, top * tall - first, float(width), min(bottom * tall, height) - first)
        made[top:bottom] = np.asarray(strip.resize((size[0], bottom - top), Image.Resampling.BOX, box=box))
    return made
