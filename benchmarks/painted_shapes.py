"""Outlines of painted crystals: flat convex polygons whose corners are rounded, and distances from their sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Shape:
    """An outline around (0, 0), its centroid.

    Attributes:
        sides: corners before they were rounded, [k, 2].
        outline: corners of the rounded convex outline, [n, 2].
    """

    sides: Floats
    outline: Floats


def area(corners: Floats) -> float:
    """Of a polygon, positive where x turns towards y."""
    x, y = corners.T
    return float(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def centroid(corners: Floats) -> Floats:
    """Of a polygon's area."""
    after = np.roll(corners, -1, axis=0)
    cross = corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]
    middle: Floats = ((corners + after) * cross[:, None]).sum(axis=0) / (3 * cross.sum())
    return middle


def shape(generator: Generator, habit: str, diameter: float, rounding: float) -> Shape:
    """A crystal's outline.

    Args:
        generator: of random numbers.
        habit: "cell" (of a Voronoi diagram), "skewed" (parallelogram with cut corners), "hexagon", "oval" (superellipse),
            "slab" (long) or "shard" (triangle to pentagon of any angles).
        diameter: of the circle of equal area, pixels.
        rounding: how much of each side the rounding of its corners takes, 0 to 0.5.
    """
    if habit == "cell":
        ring = np.sort(generator.uniform(0, 2 * np.pi, 40))
        seeds = generator.normal(0, 1, (14, 2)) + 1.4 * np.stack([np.cos(ring), np.sin(ring)], 1)[:14]
        sides = _cell(seeds)
    elif habit in {"skewed", "slab"}:
        long = generator.uniform(1.0, 1.7) if habit == "skewed" else generator.uniform(2.2, 4.0)
        lean = generator.uniform(-0.5, 0.5)
        sides = np.array([(-long, -1.0), (long, -1.0), (long, 1.0), (-long, 1.0)])
        sides[:, 0] += lean * sides[:, 1]
        sides = _clipped(generator, sides, generator.integers(0, 4))
    elif habit == "hexagon":
        angles = 2 * np.pi * (np.arange(6) + generator.normal(0, 0.09, 6)) / 6
        sides = np.stack([generator.uniform(0.9, 1.5) * np.cos(angles), np.sin(angles)], 1)
    elif habit == "oval":
        power, angles = generator.uniform(2.4, 6.0), 2 * np.pi * np.arange(14) / 14
        along, up = np.cos(angles), np.sin(angles)
        sides = np.stack(
            [
                generator.uniform(1.0, 1.8) * np.sign(along) * np.abs(along) ** (2 / power),
                np.sign(up) * np.abs(up) ** (2 / power),
            ],
            1,
        )
        sides[:, 0] += generator.uniform(-0.4, 0.4) * sides[:, 1]
    else:
        count = int(generator.integers(3, 6))
        angles = np.sort(2 * np.pi * (np.arange(count) + generator.uniform(-0.3, 0.3, count)) / count)
        sides = np.stack([np.cos(angles), np.sin(angles)], 1) * (generator.uniform(1.0, 1.8), 1.0)
    sides = sides if area(sides) > 0 else sides[::-1]
    turn = generator.uniform(0, 2 * np.pi)
    sides = sides @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    outline = sides
    for share in (rounding, 0.26):
        outline = _cut_corners(outline, max(share, 0.02))
    scale = diameter / 2 / np.sqrt(area(outline) / np.pi)
    middle = centroid(outline)
    return Shape((sides - middle) * scale, (outline - middle) * scale)


def _cell(seeds: Floats) -> Floats:
    """The polygon of all points that are nearer to 0 than to any seed."""
    far = np.concatenate([seeds, 3.0 * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])])
    far = far[np.hypot(*far.T) > 0.7]
    box = np.array([(-9.0, -9.0), (9.0, -9.0), (9.0, 9.0), (-9.0, 9.0)])
    for seed in far:
        box = _half(box, seed / np.hypot(*seed), float(np.hypot(*seed)) / 2)
    return box


def _half(corners: Floats, normal: Floats, reach: float) -> Floats:
    """What of a polygon lies no further than `reach` along `normal`."""
    kept: list[Floats] = []
    beyond = corners @ normal - reach
    for place, corner in enumerate(corners):
        after = (place + 1) % len(corners)
        if beyond[place] <= 0:
            kept.append(corner)
        if (beyond[place] <= 0) != (beyond[after] <= 0):
            part = beyond[place] / (beyond[place] - beyond[after])
            kept.append(corner + part * (corners[after] - corner))
    return np.array(kept)


def _clipped(generator: Generator, sides: Floats, times: int) -> Floats:
    for corner in generator.permutation(len(sides))[:times]:
        normal = sides[corner] / np.hypot(*sides[corner])
        sides = _half(sides, normal, float((sides @ normal).max()) * generator.uniform(0.75, 0.95))
    return sides


def _cut_corners(corners: Floats, share: float) -> Floats:
    """G. Chaikin's corner cutting, one round."""
    after = np.roll(corners, -1, axis=0)
    both: Floats = np.stack([(1 - share) * corners + share * after, share * corners + (1 - share) * after], 1)
    return both.reshape(-1, 2)


def depths(corners: Floats, x: Floats, y: Floats) -> Floats:
    """Distance of each point from each side's line, positive inside, [sides, h, w]."""
    along = np.roll(corners, -1, axis=0) - corners
    along = along / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    made: Floats = along[:, 0, None, None] * (y - corners[:, 1, None, None]) - along[:, 1, None, None] * (
        x - corners[:, 0, None, None]
    )
    return made


def support(made: Shape, u: float, v: float) -> float:
    """How far an outline reaches in a direction."""
    long = max(float(np.hypot(u, v)), 1e-9)
    return float((made.outline @ np.array([u, v])).max()) / long
