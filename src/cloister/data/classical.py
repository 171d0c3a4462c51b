"""Crystals found without a model: thresholds, filled outlines and a watershed, as microscopists did it before there were networks.

It is the fallback where no model fits and the baseline that a model has to beat. Nothing in it was learnt; a handful of numbers was
tuned on drawn pictures (`scripts/tune_classical.py`). It takes a normalised micrograph and asks only how much a place differs
from the empty field, not whether it is darker or brighter, so bright field, crossed polarisers and reflected light need no switch.

1. Energy: contrast and edge strength together, at several scales (the edge strength of T. Lindeberg, "Edge detection and ridge
   detection with automatic scale selection", IJCV 30(2), 1998, with its normalisation by scale).
2. A threshold per scale (N. Otsu, IEEE Trans. SMC 9(1), 1979), with hysteresis (J. Canny, IEEE TPAMI 8(6), 1986).
3. Translucent crystals are rings: gaps are closed, holes filled, then whatever is thinner than a crystal is opened away.
4. A watershed of the distance to the outline parts what touches. Of its basins those are joined whose neck is nearly as wide
   as the narrower of them: h-maxima of the logarithm of the distance (P. Soille, "Morphological Image Analysis", 2nd ed., 6.3.4), so
   that the rule is the same for small and large crystals.
5. What is left is dropped if it is small, thin, ragged, or looks like a bubble (`data.classical_shapes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.classical_shapes import Shapes, shapes_of
from cloister.data.stars import Stars, joined, star_area
from cloister.foundation.errors import BadInput

Reals = NDArray[np.float32]
Labels = NDArray[np.int32]

SMALLEST_SIDE: Final = 8
"""Pixels: in a picture with a shorter side there is nothing to find."""

ALIVE: Final = 16.0
"""Energy that a thousandth exceeds over that which a twentieth stays below: of mere noise 12 (Rayleigh's distribution); below, nothing is
sought."""

NEAR: Final = 7
"""Pixels on all sides that are near."""


@dataclass(frozen=True)
class Classical:
    """The numbers of the method; lengths in pixels.

    The defaults are part of the step classical@1: another value is another version of it. `contrast`, `solidity`,
    `elongation` and `neck` are what a search on twelve drawn pictures gave; the others were set by eye on drawn pictures, since
    the search was not taken further. For `round` and `symmetry` it preferred 0.03 and 0.3 by less than 0.01 of F1, with which hardly
    a bubble is told from a crystal; for `border` 0, which counts what is cut to make up for what is missed: not taken.

        python scripts/tune_classical.py --pictures 12 --only contrast round symmetry solidity smallest elongation border neck

    Attributes:
        fine: Gaussian sigma of the finest scale.
        coarse: of the coarsest.
        scales: how many, in equal ratios from `fine` to `coarse`.
        edge: weight of edge strength beside contrast.
        dead: contrast that does not count: the light is never quite even, but where a crystal begins there is an edge.
        otsu: share of Otsu's threshold that is taken.
        floor: the lowest threshold, so that noise is not parted into noise and noise.
        noise: the lowest threshold over the energy that a third of the picture does not reach, which is the empty field.
        hysteresis: what is over this share of the threshold counts if it is connected with what is over it.
        local: of the strongest energy within `NEAR` pixels, the share that is needed: what a strong edge spills over its surroundings
            does not count.
        closing: gaps of an outline that are closed.
        hole: the largest hole that is filled, as the diameter of a circle of its area.
        convex: area of a hole over that of the ellipse with the same second moments, least (a square has 0.95, a triangle 0.83): gaps
            between crystals are no holes in one.
        opening: what is not wider than about twice this is no crystal.
        smooth: Gaussian sigma by which the distance map is smoothed.
        neck: width of the neck over that of the narrower part from which two parts are one crystal.
        smallest: diameter (of the circle of the same area) of the smallest crystal.
        elongation: greatest ratio of the axes of the ellipse with the same second moments.
        solidity: least share of its convex hull that a crystal fills.
        contrast: least difference of brightness across the outline, 0 to 2 (median over the outline).
        round: a bubble's rays vary by no more than this (standard deviation over mean).
        symmetry: of a bubble's brightness at least this share of the variance depends on the distance from its centre only.
        border: of what the picture's edge cuts: least depth over width at the edge; below, the centre is taken to lie outside.
        snap: how far inwards from the region's outline the true one is sought, at the slope (see `data.classical_shapes`).
    """

    fine: float = 1.0
    coarse: float = 2.0
    scales: int = 2
    edge: float = 2.5
    dead: float = 0.1
    otsu: float = 0.7
    floor: float = 0.2
    noise: float = 4.0
    hysteresis: float = 0.6
    local: float = 0.35
    closing: int = 1
    hole: float = 80.0
    convex: float = 0.85
    opening: int = 2
    smooth: float = 1.0
    neck: float = 0.93
    smallest: float = 6.0
    elongation: float = 6.0
    solidity: float = 0.8
    contrast: float = 0.1
    round: float = 0.06
    symmetry: float = 0.6
    border: float = 0.5
    snap: float = 4.0


TUNED: Final = Classical()


def classical_stars(normal: NDArray[Any], how: Classical = TUNED) -> Stars:
    """The crystals in a micrograph, by classical means.

    Args:
        normal: as `normalise_micrograph` gives it, [height, width]: 0 is the empty field.
        how: the method's numbers.

    Returns:
        Outlines from the regions' centroids, strongest first. strength: 1 - threshold / energy, a rank and no probability.
        blur: from the outline's steepest slope. grown: 1 for what was parted from a neighbour, which may as well lie over
        it: touching and grown together look alike here. hidden: 0, the method does not know.

    Raises:
        BadInput: not a map of two dimensions.
    """
    if normal.ndim != 2:
        raise BadInput(
            "The classical method cannot be used here.",
            f"It takes a map of two dimensions; this has shape {list(normal.shape)}.",
            "Normalise a grey or colour picture first.",
        )
    if min(normal.shape) < SMALLEST_SIDE:
        return joined([])
    values = np.nan_to_num(np.asarray(normal, dtype=np.float32))
    mask, energy = crystal_mask(values, how)
    if not mask.any() or mask.all():
        return joined([])
    labels, touching = split(mask, how)
    return crystals_of(shapes_of(labels, values, energy, snap=how.snap), touching, how)


def crystal_mask(normal: Reals, how: Classical = TUNED) -> tuple[NDArray[np.bool_], Reals]:
    """Where crystals, bubbles and thick dirt are, outlines filled; and the energy of the finest scale.

    Args:
        normal: [height, width].
        how: the method's numbers.
    """
    from scipy import ndimage

    mask = np.zeros(normal.shape, dtype=bool)
    finest: Reals | None = None
    for sigma in np.geomspace(how.fine, how.coarse, how.scales) if how.scales > 1 else (how.fine,):
        energy = _energy(normal, float(sigma), how.edge, how.dead)
        mask |= _over(energy, how)
        finest = energy if finest is None else finest
    if how.closing:
        # Closing on a frame of its own, so that the picture's edge does not eat what it cuts.
        wide = np.pad(mask, how.closing + 1, mode="edge")
        inner = slice(how.closing + 1, -how.closing - 1)
        mask = ndimage.binary_closing(wide, _ROUND, iterations=how.closing)[inner, inner]
    mask = _fill(mask, how.hole, how.convex)
    if how.opening:
        wide = np.pad(mask, how.opening + 1, mode="edge")
        inner = slice(how.opening + 1, -how.opening - 1)
        mask = ndimage.binary_opening(wide, _ROUND, iterations=how.opening)[inner, inner]
    assert finest is not None
    return mask, finest


def split(mask: NDArray[np.bool_], how: Classical = TUNED) -> tuple[Labels, NDArray[np.bool_]]:
    """One number for each crystal's region, and whether it touches another (by number; 0 is the background).

    Args:
        mask: where anything is.
        how: the method's numbers.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    hills = ndimage.gaussian_filter(distance, how.smooth) if how.smooth > 0 else distance
    hills = np.where(mask, hills, np.float32(0))
    tops = mask & (hills == ndimage.maximum_filter(hills, size=5))
    markers, count = ndimage.label(tops, np.ones((3, 3)))
    basins = watershed(-hills, markers, mask=mask).astype(np.int32)
    peaks = np.zeros(count + 1)
    np.maximum.at(peaks, basins[tops], hills[tops])
    first, second, saddles = _passes(basins, hills)
    group = _merged(first, second, saddles, peaks, how.neck)
    names, group = np.unique(group, return_inverse=True)
    touching = np.zeros(len(names), dtype=bool)
    apart = group[first] != group[second]
    touching[group[first[apart]]] = touching[group[second[apart]]] = True
    return group.astype(np.int32)[basins], touching


def crystals_of(shapes: Shapes, touching: NDArray[np.bool_], how: Classical = TUNED) -> Stars:
    """The regions that look like crystals, as outlines.

    Args:
        shapes: of all regions.
        touching: as `split` gives it.
        how: the method's numbers.
    """
    large = star_area(shapes.rays) >= np.pi / 4 * how.smallest**2
    bubble = (shapes.unevenness <= how.round) & (shapes.symmetry >= how.symmetry)
    compact = (shapes.elongation <= how.elongation) & (shapes.solidity >= how.solidity)
    distinct = shapes.contrast >= how.contrast
    found = Stars(
        shapes.x,
        shapes.y,
        np.clip(1.0 - how.floor / np.maximum(shapes.energy, 1e-6), 0.01, 0.99),
        shapes.rays,
        shapes.blur,
        touching[shapes.number].astype(np.float64),
        np.zeros(len(shapes.x)),
    )
    return joined([found.pick(large & compact & distinct & ~bubble & (shapes.depth >= how.border))])


_ROUND: Final = np.ones((3, 3), dtype=bool)


def _energy(normal: Reals, sigma: float, edge: float, dead: float) -> Reals:
    from scipy import ndimage

    soft = ndimage.gaussian_filter(normal, sigma, truncate=3.0, mode="nearest")
    energy = np.maximum(np.abs(soft - np.float32(_empty(soft))) - np.float32(dead), np.float32(0))
    energy *= energy
    weight = np.float32((edge * sigma) ** 2)
    for axis in (0, 1):
        slope = np.gradient(soft, axis=axis)
        slope *= slope
        slope *= weight
        energy += slope
    made: Reals = np.sqrt(energy, out=energy)
    return made


def _empty(soft: Reals) -> float:
    """The most frequent brightness: of the empty field, even where crystals cover so much that its mean is theirs."""
    counts, edges = np.histogram(soft[::3, ::3], bins=80, range=(-1.0, 1.0))
    even = np.convolve(counts, np.array([1.0, 2.0, 3.0, 2.0, 1.0]), mode="same")
    # Of equal ones the one nearest to 0, so that a negative picture has the negative answer.
    best = np.nonzero(even == even.max())[0]
    middles = (edges[best] + edges[best + 1]) / 2
    return float(middles[np.argmin(np.abs(middles))])


def _over(energy: Reals, how: Classical) -> NDArray[np.bool_]:
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    some = energy[::2, ::2]
    least, third, most = np.quantile(some, (0.05, 1 / 3, 0.999)).tolist()
    if most < ALIVE * least:
        return np.zeros(energy.shape, dtype=bool)
    quiet = how.noise * third
    high = max(how.floor, quiet, how.otsu * float(threshold_otsu(some)))
    low = energy >= how.hysteresis * high
    if how.local > 0:
        low &= energy >= np.float32(how.local) * ndimage.maximum_filter(energy, size=2 * NEAR + 1)
    parts, count = ndimage.label(low, np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[parts[low & (energy >= high)]] = True
    strong[0] = False
    over: NDArray[np.bool_] = strong[parts]
    return over


def _fill(mask: NDArray[np.bool_], widest: float, convex: float) -> NDArray[np.bool_]:
    """Fills what is enclosed (by the picture's edge, too) if it is not larger than a crystal, and convex as one."""
    from scipy import ndimage

    holes, count = ndimage.label(~mask)
    area = np.bincount(holes.ravel(), minlength=count + 1).astype(np.float64)
    small = area <= np.pi / 4 * widest**2
    small[0] = False
    rows, columns = np.nonzero(small[holes])
    of = holes[rows, columns]

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(of, weights=values, minlength=count + 1) / np.maximum(area, 1.0)

    v, u = rows.astype(np.float64), columns.astype(np.float64)
    x, y = mean(u), mean(v)
    xx, yy, xy = mean(u * u) - x * x + 1 / 12, mean(v * v) - y * y + 1 / 12, mean(u * v) - x * y
    ellipse = 4 * np.pi * np.sqrt(np.maximum(xx * yy - xy * xy, 1e-9))
    # Of holes of a few pixels the shape tells nothing.
    small &= (area >= convex * ellipse) | (area <= 40)
    filled: NDArray[np.bool_] = mask | small[holes]
    return filled


def _passes(basins: Labels, hills: Reals) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of neighbouring basins (smaller number first) and the height of the highest pass between them."""
    pairs, heights = [], []
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        a, b = basins[here], basins[there]
        meet = (a != b) & (a > 0) & (b > 0)
        a, b = a[meet].astype(np.int64), b[meet].astype(np.int64)
        pairs.append(np.minimum(a, b) << 32 | np.maximum(a, b))
        heights.append(np.minimum(hills[here][meet], hills[there][meet]))
    code, place = np.unique(np.concatenate(pairs), return_inverse=True)
    highest = np.zeros(len(code))
    np.maximum.at(highest, place, np.concatenate(heights))
    return (code >> 32).astype(np.intp), (code & 0xFFFFFFFF).astype(np.intp), highest


def _merged(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    saddles: NDArray[np.float64],
    peaks: NDArray[np.float64],
    neck: float,
) -> NDArray[np.intp]:
    """For each basin the basin that it is part of: passes from the highest down, as water that runs off."""
    parent = list(range(len(peaks)))
    height = peaks.tolist()

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for place in np.argsort(-saddles, kind="stable").tolist():
        a, b = root(int(first[place])), root(int(second[place]))
        if a != b and saddles[place] >= neck * min(height[a], height[b]):
            low, high = (a, b) if (height[a], -a) < (height[b], -b) else (b, a)
            parent[low] = high
    return np.array([root(one) for one in range(len(parent))], dtype=np.intp)
