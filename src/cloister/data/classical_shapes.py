"""What a region of a micrograph looks like: its outline as rays from the centroid, its shape, and whether it is a round bubble.

A bubble is round and its brightness depends on the distance from its centre alone: dark rim, bright middle, at times a spot. A crystal
seen end-on may be nearly round, but its facets and edges show; a round dark ring with an even middle can be either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.stars import ANGLES, LONGEST, RAYS, SHORTEST, star_area

Floats = NDArray[np.float64]
Reals = NDArray[np.float32]

STEPS: Final = 48
"""Samples along a ray."""

RINGS: Final = np.linspace(0.1, 0.9, 11)
"""Distances from the centre, over the mean radius, at which a bubble's symmetry is looked at; the outline itself is round anyway."""

EVEN: Final = 0.003
"""Variance of brightness that counts as none: in an even disc there is nothing to be symmetric."""

FINE: Final = 0.5
"""Pixels between samples where the outline is sought."""

STEEP: Final = 0.7
"""Of the steepest slope on a ray: the outermost place that is as steep is the outline (further in lie the inner edges of its rim)."""

ABOUT: Final = 4.0
"""Pixels on both sides of an outline at which its blur is looked at."""

BEYOND: Final = 3
"""Pixels by which regions reach over the picture's edge that cuts them, so that outlines tell that they are cut."""


@dataclass(frozen=True)
class Shapes:
    """Regions; all arrays have one entry for each.

    Attributes:
        number: in the labels.
        x: column of the centroid, pixels.
        y: row of it.
        rays: [n, RAYS], from the centroid to the outline, pixels.
        blur: of the outline, pixels (Gaussian sigma).
        contrast: difference of brightness across the outline, median over the rays.
        energy: mean of the energy on the region.
        elongation: ratio of the axes of the ellipse with the same second moments, at least 1.
        solidity: area over that of the convex hull, of the outline.
        unevenness: standard deviation of the rays over their mean; 0 for a circle.
        symmetry: share of the variance of brightness that depends on the distance from the centre only, 0 to 1.
        depth: of what the picture's edge cuts: how far it reaches into the picture, over its width at the edge; infinite for what is
            whole. Below a half, the centre of the whole most likely lies outside.
    """

    number: NDArray[np.intp]
    x: Floats
    y: Floats
    rays: Floats
    blur: Floats
    contrast: Floats
    energy: Floats
    elongation: Floats
    solidity: Floats
    unevenness: Floats
    symmetry: Floats
    depth: Floats


def shapes_of(labels: NDArray[np.int32], normal: Reals, energy: Reals, *, snap: float) -> Shapes:
    """The shapes of all regions.

    Args:
        labels: [height, width], 0 is background.
        normal: the normalised picture, of the same shape.
        energy: likewise.
        snap: pixels inwards from the region's outline within which the steepest slope is taken as the outline.
    """
    from scipy import ndimage

    rows, columns = np.nonzero(labels)
    of = labels[rows, columns]
    length = int(labels.max(initial=0)) + 1
    area = np.bincount(of, minlength=length).astype(np.float64)
    number = np.nonzero(area)[0]
    area = area[number]

    def mean(values: NDArray[np.float64] | Reals | NDArray[np.intp]) -> Floats:
        return np.bincount(of, weights=values, minlength=length)[number] / area

    x, y = mean(columns), mean(rows)
    # 1/12 is the second moment of a pixel itself.
    xx, yy = (
        mean(columns.astype(np.float64) ** 2) - x * x + 1 / 12,
        mean(rows.astype(np.float64) ** 2) - y * y + 1 / 12,
    )
    xy = mean(columns.astype(np.float64) * rows) - x * y
    middle, off = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    elongation = np.sqrt((middle + off) / np.maximum(middle - off, 1e-9))
    boxes = ndimage.find_objects(labels)
    windows = np.array(
        [(b[0].start, b[0].stop, b[1].start, b[1].stop) for one in number.tolist() if (b := boxes[one - 1])]
    ).reshape(-1, 4)
    rays = _rays(labels, number, x, y, windows)
    if snap > 0:
        # The normalised picture is limited, which moves the steepest place outwards; before that it was not.
        unlimited = normal / np.sqrt(np.maximum(1.0 - normal * normal, np.float32(1e-4)))
        rays = _snapped(unlimited, x, y, rays, snap)
    spread = rays.mean(axis=1)
    blur, contrast = _edge(normal, x, y, rays)
    return Shapes(
        number=number,
        x=x,
        y=y,
        rays=rays,
        blur=blur,
        contrast=contrast,
        energy=mean(energy[rows, columns]),
        elongation=elongation,
        solidity=_solidity(rays),
        unevenness=rays.std(axis=1) / np.maximum(spread, 1e-9),
        symmetry=_symmetry(normal, x, y, spread),
        depth=_depth(windows, labels.shape),
    )


def _rays(
    labels: NDArray[np.int32], number: NDArray[np.intp], x: Floats, y: Floats, windows: NDArray[np.intp]
) -> Floats:
    """Length of each ray that lies in the region; for a star-convex one that is the distance to its outline."""
    wide = np.pad(np.pad(labels, BEYOND, mode="edge"), 1)
    far = np.maximum(y - windows[:, 0], windows[:, 1] - 1 - y) ** 2
    reach = np.sqrt(far + np.maximum(x - windows[:, 2], windows[:, 3] - 1 - x) ** 2) + BEYOND + 1.0
    share = (np.arange(STEPS) + 0.5) / STEPS
    rays = np.zeros((len(number), RAYS))
    for start in range(0, len(number), 512):
        part = slice(start, start + 512)
        distance = reach[part, None, None] * share
        u = np.rint(x[part, None, None] + distance * np.cos(ANGLES)[:, None]).astype(np.intp)
        v = np.rint(y[part, None, None] + distance * np.sin(ANGLES)[:, None]).astype(np.intp)
        u = np.clip(u + BEYOND + 1, 0, wide.shape[1] - 1)
        v = np.clip(v + BEYOND + 1, 0, wide.shape[0] - 1)
        inside = wide[v, u] == number[part, None, None]
        rays[part] = inside.sum(axis=2) * reach[part, None] / STEPS
    return np.clip(rays, SHORTEST, LONGEST)


def _symmetry(normal: Reals, x: Floats, y: Floats, radius: Floats) -> Floats:
    distance = radius[:, None, None] * RINGS[:, None]
    seen = _at(
        normal, x[:, None, None] + distance * np.cos(ANGLES), y[:, None, None] + distance * np.sin(ANGLES)
    )
    # Rings weigh as much as their area.
    weight = RINGS / RINGS.sum()
    rings = seen.mean(axis=2)
    centre = (rings * weight).sum(axis=1, keepdims=True)
    between = ((rings - centre) ** 2 * weight).sum(axis=1)
    within = (seen.var(axis=2) * weight).sum(axis=1)
    share: Floats = between / (between + within + EVEN)
    return share


def _snapped(normal: Reals, x: Floats, y: Floats, rays: Floats, snap: float) -> Floats:
    """Rays moved to where the brightness changes steeply, from outside in; then each is the median of itself and its neighbours."""
    offsets = np.arange(1.0, -snap - FINE / 2, -FINE)
    slope = np.abs(np.diff(_along(normal, x, y, rays, offsets), axis=2))
    first = np.argmax(slope >= STEEP * slope.max(axis=2, keepdims=True), axis=2)
    moved = np.clip(rays + offsets[first] - FINE / 2, SHORTEST, None)
    # What the picture's edge cuts stays cut.
    height, width = normal.shape
    u, v = x[:, None] + rays * np.cos(ANGLES), y[:, None] + rays * np.sin(ANGLES)
    beyond = (u < 0) | (v < 0) | (u > width - 1) | (v > height - 1)
    even = np.median(np.stack([np.roll(moved, 1, axis=1), moved, np.roll(moved, -1, axis=1)]), axis=0)
    return np.where(beyond, rays, even)


def _edge(normal: Reals, x: Floats, y: Floats, rays: Floats) -> tuple[Floats, Floats]:
    """Blur and contrast of outlines, medians over the rays.

    An edge of height h blurred by sigma has the slope h / (sigma sqrt(2 pi)) at its steepest.
    """
    seen = _along(normal, x, y, rays, np.arange(-ABOUT, ABOUT + FINE, FINE))
    height = seen.max(axis=2) - seen.min(axis=2)
    slope = np.abs(np.diff(seen, axis=2)).max(axis=2) / FINE
    sigma = height / np.maximum(slope, 1e-6) / np.sqrt(2 * np.pi)
    return np.median(sigma, axis=1), np.median(height, axis=1)


def _along(normal: Reals, x: Floats, y: Floats, rays: Floats, offsets: Floats) -> Floats:
    """Brightness at these distances from the ends of the rays, outwards positive: [n, RAYS, offsets]."""
    distance = np.maximum(rays[:, :, None] + offsets, 0.0)
    cos, sin = np.cos(ANGLES)[:, None], np.sin(ANGLES)[:, None]
    return _at(normal, x[:, None, None] + distance * cos, y[:, None, None] + distance * sin)


def _solidity(rays: Floats) -> Floats:
    from scipy.spatial import ConvexHull

    corners = rays[:, :, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    hulls = np.array([ConvexHull(one).volume for one in corners])  # In two dimensions the volume is the area.
    share: Floats = star_area(rays) / np.maximum(hulls, 1e-9) if len(rays) else np.zeros(0)
    return share


def _depth(windows: NDArray[np.intp], shape: tuple[int, ...]) -> Floats:
    top, bottom, left, right = windows.T
    height, width = (bottom - top).astype(np.float64), (right - left).astype(np.float64)
    down = np.where((top == 0) | (bottom == shape[0]), height / width, np.inf)
    across = np.where((left == 0) | (right == shape[1]), width / height, np.inf)
    depth: Floats = np.minimum(down, across)
    return depth


def _at(normal: Reals, x: Floats, y: Floats) -> Floats:
    from scipy import ndimage

    places = np.stack([y.ravel(), x.ravel()])
    seen: Floats = ndimage.map_coordinates(normal, places, order=1, mode="nearest", output=np.float64)
    return seen.reshape(x.shape)
