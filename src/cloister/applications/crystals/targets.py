"""What the model should answer: a bump on every centre, ones inside every crystal.

The bump's width grows with the crystal, because the centre of a large crystal is less certain; a fixed
width would ask for a precision that the picture does not carry, and give double peaks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.network import BODY, CHANNELS, HEAT

BUMP = 0.12
"""Standard deviation of a bump over the crystal's diameter."""

NARROWEST, WIDEST = 2.0, 7.0
"""Limits of that standard deviation, pixels."""


def heat_target(
    centres: Sequence[Sequence[float]], diameters: Sequence[float], height: int, width: int
) -> NDArray[np.float32]:
    """The wanted centre heat map.

    Args:
        centres: x, y of each crystal, pixels.
        diameters: of each, pixels, in the same order.
        height: of the picture.
        width: of the picture.

    Returns:
        float32 [height, width] in [0, 1]: near 1 at each centre, Gaussian around it, the highest where bumps meet.
    """
    heat = np.zeros((height, width), dtype=np.float32)
    for (x, y), diameter in zip(centres, diameters, strict=True):
        sigma = float(np.clip(BUMP * diameter, NARROWEST, WIDEST))
        rows, columns = _window(x, y, 3.5 * sigma, height, width)
        u = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(x)
        v = np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(y)
        bump = np.exp(-(u[None, :] ** 2 + v[:, None] ** 2) / np.float32(2 * sigma * sigma))
        np.maximum(heat[rows, columns], bump, out=heat[rows, columns])
    return heat


def body_target(
    centres: Sequence[Sequence[float]], diameters: Sequence[float], height: int, width: int
) -> NDArray[np.float32]:
    """The wanted body map where only sizes are known: a disc of each crystal's equivalent circle diameter.

    Returns:
        float32 [height, width], 0 or 1.
    """
    body = np.zeros((height, width), dtype=np.float32)
    for (x, y), diameter in zip(centres, diameters, strict=True):
        rows, columns = _window(x, y, diameter / 2 + 1, height, width)
        u = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(x)
        v = np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(y)
        inside = u[None, :] ** 2 + v[:, None] ** 2 <= diameter * diameter / 4
        body[rows, columns] = np.maximum(body[rows, columns], inside)
    return body


def targets(
    centres: Sequence[Sequence[float]], diameters: Sequence[float], height: int, width: int
) -> NDArray[np.float32]:
    """Both maps, float32 [2, height, width], in the order of the model's output channels."""
    both = np.zeros((len(CHANNELS), height, width), dtype=np.float32)
    both[HEAT] = heat_target(centres, diameters, height, width)
    both[BODY] = body_target(centres, diameters, height, width)
    return both


def _window(x: float, y: float, reach: float, height: int, width: int) -> tuple[slice, slice]:
    top, bottom = (
        int(np.clip(np.floor(y - reach), 0, height)),
        int(np.clip(np.ceil(y + reach) + 1, 0, height)),
    )
    left, right = int(np.clip(np.floor(x - reach), 0, width)), int(np.clip(np.ceil(x + reach) + 1, 0, width))
    return slice(top, bottom), slice(left, right)
