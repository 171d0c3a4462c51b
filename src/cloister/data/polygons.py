"""Outlines of single objects as polygons: how far they reach from a point inside, what they enclose, which pixels they cover.

An outline is [corners, 2]: x and y in pixels, in order, either way round; the first pixel's centre is (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GRID = 20
_AT_ONCE = 2_000_000
"""Sides times points that are compared at a time, so that memory stays small."""


def gauge(outline: Floats, u: Floats, v: Floats) -> Floats:
    """How far out points lie, as a share of how far the outline reaches that way: 0 at the origin, 1 on the outline.

    Where an outline with bays is left and entered again, its nearest side counts: what can be seen from the origin.

    Args:
        outline: with the origin inside.
        u: x of the points.
        v: y of them, of the same shape.

    Returns:
        Of the shape of `u`.
    """
    points = np.stack([u, v]).reshape(2, -1)
    length = np.hypot(*points)
    sides = np.stack([outline, np.roll(outline, -1, axis=0)], axis=1)
    # Twice the triangle between the origin and a side; a side that the origin sees from its end only is left to its neighbours.
    turn = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]
    sides, turn = sides[np.abs(turn) > 1e-12], turn[np.abs(turn) > 1e-12]
    found = np.zeros(points.shape[1])
    step = max(1, _AT_ONCE // max(1, points.shape[1]))
    for start in range(0, len(sides), step):
        one, other = sides[start : start + step, 0], sides[start : start + step, 1]
        offset = turn[start : start + step, None]
        along = np.stack([other[:, 1] - one[:, 1], one[:, 0] - other[:, 0]], axis=1) / offset
        way = np.sign(offset)
        past = way * (one[:, :1] * points[1] - one[:, 1:] * points[0])
        before = way * (points[0] * other[:, 1:] - points[1] * other[:, :1])
        # With a trace to spare: no direction falls between two sides by rounding, and at a corner both say the same.
        spare = -1e-9 * np.hypot(*np.abs(sides[start : start + step]).max(axis=1).T)[:, None] * length
        facing = (past >= spare) & (before >= spare)
        found = np.maximum(found, np.where(facing, along @ points, 0.0).max(axis=0))
    return found.reshape(u.shape)


def reach(outline: Floats, angles: Floats) -> Floats:
    """How far an outline reaches from the origin, which lies inside it, in each direction.

    Args:
        outline: with the origin inside.
        angles: radians, from the x axis towards y.

    Returns:
        Distances to the nearest side, pixels, one for each angle; infinite where there is none.
    """
    out = gauge(outline, np.cos(angles), np.sin(angles))
    reached: Floats = np.divide(1.0, out, out=np.full(out.shape, np.inf), where=out > 0.0)
    return reached


def enclosed(outline: Floats) -> float:
    """Area, pixels squared (shoelace formula)."""
    x, y = (outline - outline.mean(axis=0)).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def surrounds(outline: Floats, x: float, y: float) -> bool:
    """Whether a point lies inside: a ray from it crosses the outline an odd number of times."""
    one, other = outline, np.roll(outline, -1, axis=0)
    crossed = (one[:, 1] > y) != (other[:, 1] > y)
    one, other = one[crossed], other[crossed]
    at = one[:, 0] + (y - one[:, 1]) / (other[:, 1] - one[:, 1]) * (other[:, 0] - one[:, 0])
    return bool(int((at > x).sum()) % 2)


def deepest(outline: Floats) -> tuple[float, float]:
    """A place within an outline that is about as far from its sides as one can be, pixels.

    Looked for on a coarse grid, then on finer ones around the best place.
    """
    low, high = outline.min(axis=0), outline.max(axis=0)
    best = outline.mean(axis=0)
    one, along = outline, np.roll(outline, -1, axis=0) - outline
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    for _ in range(4):
        points = np.stack(np.meshgrid(*np.linspace(low, high, _GRID).T), axis=-1).reshape(-1, 2)
        points = points[[surrounds(outline, x, y) for x, y in points]]
        if not len(points):
            break
        off = points[:, None] - one
        share = np.clip((off * along).sum(axis=2) / length, 0, 1)
        depth = np.hypot(*np.moveaxis(off - share[..., None] * along, -1, 0)).min(axis=1)
        best = points[int(depth.argmax())]
        step = (high - low) / (_GRID - 1)
        low, high = best - step, best + step
    return float(best[0]), float(best[1])


def near(outline: Floats, width: int, height: int) -> bool:
    """Whether no corner lies farther outside a picture than the picture is wide or high."""
    size = np.array([width, height], dtype=np.float64)
    return bool(((outline >= -size) & (outline <= 2 * size)).all())


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


def shares(
    outlines: Sequence[Floats], height: int, width: int, *, scale: float = 1.0
) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """How much of each pixel an outline covers, 0 to 1, by the distance of the pixel's centre from it; arguments as of `covered`.

    Exact along straight sides that a pixel's grid follows, within 0.1 elsewhere but in sharp corners. Drawn as whole pixels, an
    outline would be half a pixel too wide.
    """
    for outline in outlines:
        corners = (np.asarray(outline) + 0.5) * scale - 0.5
        low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 2
        left, top = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
        right, bottom = int(np.clip(high[0], left, width)), int(np.clip(high[1], top, height))
        u, v = np.meshgrid(np.arange(left, right, dtype=np.float64), np.arange(top, bottom, dtype=np.float64))
        inner = _depth(corners, u.ravel(), v.ravel()).reshape(u.shape)
        yield slice(top, bottom), slice(left, right), np.clip(0.5 + inner, 0.0, 1.0).astype(np.float32)


def _depth(outline: Floats, u: Floats, v: Floats) -> Floats:
    """Distance of points from the nearest side, negative outside."""
    made = np.empty(len(u))
    one, other = outline, np.roll(outline, -1, axis=0)
    along = other - one
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    # A side is crossed by the ray to the right where it passes the point's height, from `lower` up to `upper` without its end.
    slant = np.divide(along[:, 0], along[:, 1], out=np.zeros(len(one)), where=along[:, 1] != 0)
    step = max(1, _AT_ONCE // (4 * max(1, len(one))))
    for start in range(0, len(u), step):
        x, y = u[start : start + step, None], v[start : start + step, None]
        off_x, off_y = x - one[:, 0], y - one[:, 1]
        share = np.clip((off_x * along[:, 0] + off_y * along[:, 1]) / length, 0, 1)
        away = np.sqrt(((off_x - share * along[:, 0]) ** 2 + (off_y - share * along[:, 1]) ** 2).min(axis=1))
        passes = (one[:, 1] > y) != (other[:, 1] > y)
        inside = (passes & (x < one[:, 0] + off_y * slant)).sum(axis=1) % 2 == 1
        made[start : start + step] = np.where(inside, away, -away)
    return made
