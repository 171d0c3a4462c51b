"""Outlines moved to the edges of the bodies that a network sees.

What a network says of a polygon's rays is right in size and blunt in shape: corners come out round, for it speaks from afar. The
map of bodies is made close to each pixel, so its edge is where the object ends. Each ray is moved to the place nearest to its
end at which the body ends along it; it stays where there is none, or where that place lies in another object (two bodies that touch or
overlap are one in the map, and only the polygons know where one ends).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.stars import ANGLES, RAYS, Stars, neighbours, reached

WINDOW: Final = (0.65, 1.5)
"""Lengths over that of a ray between which its body's end is looked for; a square's corner reaches 1.25 times as far as its circle."""

PLACES: Final = 34
"""At which along a ray it is looked for: 1/40 of the length apart, closer than the map's pixels for all but the largest."""

STRAY: Final = 0.15
"""How much a ray may change over what its neighbours change; more is the edge of something else."""

_AT_ONCE: Final = 256

Floats = NDArray[np.float64]


def moved_to_edges(stars: Stars, body: NDArray[np.float32], edge: float = 0.5) -> Stars:
    """The same objects with their outlines on the edges of bodies.

    Args:
        stars: without duplicates, since what lies in another object is not moved to.
        body: logits at half the picture's resolution, [h, w].
        edge: probability of a body at which it ends, above 0 and below 1. Where a network is unsure whether a dim rim belongs to
            it, a half is within the object.
    """
    if not len(stars):
        return stars
    body = body - np.float32(np.log(edge / (1.0 - edge)))
    factors = np.empty(stars.rays.shape)
    for start in range(0, len(stars), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        factors[part] = _ends(stars.x[part], stars.y[part], stars.rays[part], body)
    factors[_in_others(stars, factors)] = np.nan
    known = np.where(np.isnan(factors), 1.0, factors)
    before, after = np.roll(known, 1, axis=1), np.roll(known, -1, axis=1)
    low, high = np.minimum(before, after) - STRAY, np.maximum(before, after) + STRAY
    return replace(stars, rays=stars.rays * np.clip(known, low, high))


def _ends(x: Floats, y: Floats, rays: Floats, body: NDArray[np.float32]) -> Floats:
    """Where bodies end along rays, over the rays' lengths; not a number where they do not within the window."""
    steps = np.geomspace(*WINDOW, PLACES)
    reach = rays[:, :, None] * steps
    # Pixel p of the map has its centre at 2 p + 1/2 of the picture.
    columns = (x[:, None, None] + reach * np.cos(ANGLES)[:, None] - 0.5) / 2.0
    rows = (y[:, None, None] + reach * np.sin(ANGLES)[:, None] - 0.5) / 2.0
    seen = _read(body, columns, rows)
    leaves = (seen[:, :, :-1] > 0) & (seen[:, :, 1:] <= 0)
    # Between two places the map is taken to be straight.
    share = seen[:, :, :-1] / np.where(leaves, seen[:, :, :-1] - seen[:, :, 1:], 1.0)
    at = steps[:-1] + np.where(leaves, share, 0.0) * np.diff(steps)
    away = np.where(leaves, np.abs(np.log(at)), np.inf)
    nearest = away.argmin(axis=2)[:, :, None]
    found = np.take_along_axis(at, nearest, 2)[:, :, 0]
    missing = np.isinf(np.take_along_axis(away, nearest, 2)[:, :, 0])
    return np.where(missing, np.nan, found)


def _in_others(stars: Stars, factors: Floats) -> NDArray[np.bool_]:
    """Which of the new ends lie within another object, [n, RAYS]."""
    held = np.zeros(factors.shape, dtype=bool)
    first, second = neighbours(stars, WINDOW[1])
    own, other = np.concatenate([first, second]), np.concatenate([second, first])
    if not len(own):
        return held
    length = (stars.rays * np.nan_to_num(factors, nan=1.0))[own]
    u = stars.x[own, None] + length * np.cos(ANGLES) - stars.x[other, None]
    v = stars.y[own, None] + length * np.sin(ANGLES) - stars.y[other, None]
    pair, ray = np.nonzero(u * u + v * v <= stars.rays.max(axis=1)[other, None] ** 2)
    within = reached(stars.rays, other[pair], u[pair, ray], v[pair, ray])
    held.reshape(-1)[own[pair[within]] * RAYS + ray[within]] = True
    return held


def _read(values: NDArray[np.float32], columns: Floats, rows: Floats) -> NDArray[Any]:
    """Values of a map between its pixels, linearly; beyond the outermost ones, theirs."""
    height, width = values.shape
    u = np.clip(columns, 0, width - 1.001).astype(np.float32)
    v = np.clip(rows, 0, height - 1.001).astype(np.float32)
    left, top = u.astype(np.int32), v.astype(np.int32)
    s, t = u - left, v - top
    place = top * width + left
    flat = values.reshape(-1)
    upper = flat[place] * (1 - s) + flat[place + 1] * s
    lower = flat[place + width] * (1 - s) + flat[place + width + 1] * s
    blended: NDArray[Any] = upper * (1 - t) + lower * t
    return blended
