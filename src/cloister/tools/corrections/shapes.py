"""Polygons cut, joined and checked: what corrections do to outlines.

A cut keeps, of each side, what lies in its half-plane (I. E. Sutherland, G. W. Hodgman, "Reentrant polygon clipping",
Commun. ACM 17, 1974), so the two areas add up exactly; of an outline with bays a side may hang together by stretches of the line
itself. A union is read off a fine grid, which stands every degenerate case, to within about a cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.sizing.descriptors import describe, stack
from cloister.tools.corrections.edits import MAX_CORNERS

Floats = NDArray[np.float64]

SMALLEST = 1.0
"""Area of the smallest object, pixels squared."""
DISC_CORNERS = 32
_CELLS = 600
_GAP = 2.0


def area_of(points: Floats) -> float:
    """Enclosed area, pixels squared (shoelace formula)."""
    x, y = (points - points.mean(axis=0)).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def disc(x: float, y: float, diameter: float) -> Floats:
    """A polygon of a disc's area about (x, y), pixels: [DISC_CORNERS, 2]."""
    angles = 2.0 * np.pi * np.arange(DISC_CORNERS) / DISC_CORNERS
    area_of_unit = 0.5 * DISC_CORNERS * np.sin(2.0 * np.pi / DISC_CORNERS)
    radius = 0.5 * diameter * np.sqrt(np.pi / area_of_unit)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def usable(points: Floats, width: int, height: int) -> Floats:
    """An outline that somebody drew, if it can be one. Raises `BadInput`: too small, crossing itself, not in the picture."""
    if area_of(points) < SMALLEST:
        raise BadInput("The outline is too small.", "It encloses less than one pixel.", "Draw a larger one.")
    x, y = points.mean(axis=0)
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise BadInput(
            "The outline lies outside the picture.",
            f"Its middle is not within the {width} x {height} pixels.",
            "Places are pixels of the picture, x to the right, y down.",
        )
    reach = points - np.array([width, height]) / 2.0
    if (np.abs(reach) > 1.5 * np.array([width, height])).any():
        raise BadInput("The outline is larger than the picture.", "", "Draw it closer.")
    if crosses_itself(points):
        raise BadInput("The outline crosses itself.", "Then it has no inside.", "Go round the object once.")
    return points


def crosses_itself(points: Floats) -> bool:
    """Whether two sides that are not neighbours cross in their insides."""
    a, b = points, np.roll(points, -1, axis=0)
    count = len(a)

    def turn(p: Floats, q: Floats, r: Floats) -> Floats:
        """Twice the signed area of every triangle of a side (p, q) and a point r: [sides, points]."""
        d = (q - p)[:, None]
        e = r[None] - p[:, None]
        return np.asarray(d[..., 0] * e[..., 1] - d[..., 1] * e[..., 0])

    starts, ends = turn(a, b, a), turn(a, b, b)
    parted = starts * ends < 0
    crossing = parted & parted.T
    gap = np.abs(np.arange(count)[:, None] - np.arange(count)[None])
    apart = (gap > 1) & (gap < count - 1)
    return bool((crossing & apart).any())


def split(points: Floats, line: Floats) -> tuple[Floats, Floats]:
    """The parts of an outline on the two sides of the line through two points, [2, 2].

    Raises:
        BadInput: the two points are one, or the line leaves one side (nearly) empty.
    """
    along = line[1] - line[0]
    length = float(np.hypot(*along))
    if length < 1e-6:
        raise BadInput("There is no line to cut along.", "Its two points are one.", "Draw a longer line.")
    normal = np.array([-along[1], along[0]]) / length
    heights = (points - line[0]) @ normal
    sides = _above(points, heights), _above(points, -heights)
    if any(len(side) < 3 or area_of(side) < SMALLEST for side in sides):
        raise BadInput(
            "The line does not cut the object in two.",
            "One side of it would be less than a pixel.",
            "Draw the line right across the object.",
        )
    if any(len(side) > MAX_CORNERS for side in sides):
        raise BadInput("The object has too many corners to be cut.", "", "Draw its parts by hand.")
    return sides


def merge(outlines: Sequence[Floats]) -> Floats:
    """One outline of what several cover together; where they do not meet (2 pixels are bridged), their convex hull."""
    from scipy import ndimage
    from skimage.draw import polygon
    from skimage.measure import approximate_polygon, find_contours

    every = np.concatenate(list(outlines))
    low, high = every.min(axis=0), every.max(axis=0)
    scale = min(_CELLS / max(float((high - low).max()), 1.0), 8.0)
    bridge = max(1, round(_GAP * scale / 2.0))
    pad = bridge + 2
    shape = tuple(int(side) + 1 + 2 * pad for side in np.ceil((high - low)[::-1] * scale))
    covered = np.zeros(shape, dtype=bool)
    for outline in outlines:
        placed = (outline - low) * scale + pad
        rows, columns = polygon(placed[:, 1], placed[:, 0], shape)
        covered[rows, columns] = True
    covered = ndimage.binary_closing(covered, iterations=bridge) | covered
    covered = ndimage.binary_fill_holes(covered)
    parts, _ = ndimage.label(covered, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    # Less than a pixel is the end of a needle that the grid has cut off.
    if (sizes >= SMALLEST * scale**2).sum() != 1:
        return hull(every)
    # A little blur takes the stairs off the grid's contour and moves its straight parts nowhere.
    soft = ndimage.gaussian_filter(covered.astype(np.float64), 1.0)
    contour = max(find_contours(soft, 0.5), key=len)[:-1]
    tolerance = 0.4
    kept = contour
    while len(kept) > MAX_CORNERS // 2 or kept is contour:
        kept = approximate_polygon(np.vstack([contour, contour[:1]]), tolerance)[:-1]
        tolerance *= 1.5
    joined = (kept[:, ::-1] - pad) / scale + low
    return hull(every) if len(joined) < 3 or crosses_itself(joined) else np.asarray(joined, dtype=np.float64)


def hull(points: Floats) -> Floats:
    """The corners of the convex hull, in order."""
    from scipy.spatial import ConvexHull

    corners: Floats = points[ConvexHull(points).vertices]
    return corners if len(corners) <= MAX_CORNERS else corners[:: -(-len(corners) // MAX_CORNERS)]


def measured(outlines: Sequence[Floats], micrometres_per_pixel: float | None) -> dict[str, Floats]:
    """Sizes and shapes as `sizing.descriptors.describe` gives them, one entry for each outline."""
    return describe(stack(list(outlines)), micrometres_per_pixel=micrometres_per_pixel)


def _above(points: Floats, heights: Floats) -> Floats:
    """What of a polygon lies where `heights` (of its corners over a line) are not negative."""
    kept: list[Floats] = []
    for here, there, h, g in zip(
        points, np.roll(points, -1, axis=0), heights, np.roll(heights, -1), strict=True
    ):
        if h >= 0:
            kept.append(here)
        if h * g < 0:
            kept.append(here + (there - here) * (h / (h - g)))
    return np.array(kept).reshape(-1, 2)
