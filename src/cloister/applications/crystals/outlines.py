"""Outlines of drawn crystals: how far they reach, which pixels they cover, how much of them is under others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def reach(outline: Floats, angles: Floats) -> Floats:
    """How far a convex outline reaches from the origin, which lies inside it, in each direction.

    Args:
        outline: [corners, 2], pixels, in order.
        angles: radians, from the x axis towards y.

    Returns:
        Distances, pixels, one for each angle.
    """
    following = np.roll(outline, -1, axis=0)
    side = following - outline
    normal = np.stack([side[:, 1], -side[:, 0]], axis=1)
    distance = (normal * outline).sum(axis=1)
    # Whichever way the corners run round, normals point outwards: the origin is inside.
    sign = np.where(distance < 0, -1.0, 1.0)
    normal, distance = normal * sign[:, None], distance * sign
    towards = np.stack([np.cos(angles), np.sin(angles)], axis=0)
    facing = normal @ towards
    far = np.where(facing > 1e-12, distance[:, None] / np.maximum(facing, 1e-12), np.inf)
    reached: Floats = far.min(axis=0)
    return reached


def covered(
    outlines: Sequence[Floats], height: int, width: int, *, scale: float = 1.0
) -> Iterator[tuple[slice, slice, NDArray[np.bool_]]]:
    """The pixels of each outline: rows, columns, and which of them are inside; empty where it lies outside the picture.

    Args:
        outlines: corners [n, 2] in pixels; the first pixel's centre is (0, 0).
        height: of the picture in which pixels are wanted.
        width: of it.
        scale: pixels of that picture per pixel of the outlines' (1/2 for half the resolution).
    """
    from PIL import Image, ImageDraw

    for outline in outlines:
        corners = (np.asarray(outline) + 0.5) * scale - 0.5
        low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0)) + 1
        left, top = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
        right, bottom = int(np.clip(high[0], left, width)), int(np.clip(high[1], top, height))
        if right == left or bottom == top:
            yield slice(0, 0), slice(0, 0), np.zeros((0, 0), dtype=bool)
            continue
        drawn = Image.new("1", (right - left, bottom - top), 0)
        ImageDraw.Draw(drawn).polygon([(float(cx) - left, float(cy) - top) for cx, cy in corners], fill=1)
        yield slice(top, bottom), slice(left, right), np.asarray(drawn, dtype=bool)


def hidden_shares(outlines: Sequence[Floats], height: int, width: int) -> list[float]:
    """Of each outline, the share of its pixels in the picture that lie under later ones; 0 to 1."""
    taken = np.zeros((height, width), dtype=bool)
    shares: list[float] = []
    masks = list(covered(outlines, height, width))
    for rows, columns, inside in reversed(masks):
        own = int(inside.sum())
        shares.append(float((taken[rows, columns] & inside).sum() / own) if own else 0.0)
        taken[rows, columns] |= inside
    return shares[::-1]
