"""What the picture's edge does to sizes and counts, and how it is put right.

A particle cut by the edge has no known size and is left out. Large particles are cut more often than small ones, so what is left
is too small: leaving out alone biases every percentile. Seen through a frame of Z1 by Z2, a particle of width F1 and
height F2 lies wholly inside with a probability proportional to (Z1 - F1)·(Z2 - F2), the area where its centre can be. Each whole
particle therefore stands for

    Z1·Z2 / ((Z1 - F1)·(Z2 - F2))

particles (R. E. Miles, in Stochastic Geometry, 1974; C. Lantuéjoul 1980; ISO 13322-1). This needs no shape and no orientation,
only that particles lie anywhere with equal chance. Counts are simpler: a particle is counted if its centre is
inside, whether or not all of it is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

Floats = NDArray[np.float64]


def miles_lantuejoul(
    widths: NDArray[Any], heights: NDArray[Any], cut: NDArray[Any], frame: tuple[float, float]
) -> Floats:
    """For how many particles each stands: 0 where the edge cuts it, at least 1 where all of it is seen.

    Args:
        widths: [n], Feret diameters along x, pixels (`descriptors.extents`).
        heights: [n], along y.
        cut: [n], true where the particle touches the picture's edge.
        frame: the picture's width and height, pixels.

    Returns:
        Weights [n].

    Raises:
        BadInput: shapes differ, values that are no lengths, or a whole particle as large as the frame: such a
            particle can hardly ever be seen whole, and no weight makes up for it.
    """
    inside = ~np.asarray(cut, dtype=bool)
    shares = seen_whole(widths, heights, frame)
    if inside.shape != shares.shape:
        raise _mismatch()
    if (shares[inside] <= 0).any():
        raise BadInput(
            "Sizes cannot be corrected for the picture's edge.",
            "A particle is as wide or as high as the picture.",
            "Take pictures at a lower magnification: the largest particle well below the picture's height.",
        )
    return np.where(inside, 1.0 / np.where(inside, shares, 1.0), 0.0)


def standing_for(
    widths: NDArray[Any], heights: NDArray[Any], cut: NDArray[Any], frame: tuple[float, float]
) -> Floats:
    """`miles_lantuejoul`, or each whole particle for itself where one is as large as the frame and no weight makes up for that.

    Args, Returns: as of `miles_lantuejoul`.
    """
    try:
        return miles_lantuejoul(widths, heights, cut, frame)
    except BadInput:
        return np.where(np.asarray(cut, dtype=bool), 0.0, 1.0)


def cut_by_edge(polygons: NDArray[Any], frame: tuple[int, int]) -> NDArray[np.bool_]:
    """Which outlines reach beyond the picture, which goes from -0.5 to its size - 0.5; `touches_edge` also tells those that come near.

    Args:
        polygons: [n, corners, 2], in pixels.
        frame: the picture's width and height, pixels.
    """
    points = np.asarray(polygons, dtype=np.float64)
    far = np.array(frame, dtype=np.float64) - 0.5
    return np.asarray(((points < -0.5) | (points > far)).any(axis=(1, 2)))


def seen_whole(widths: NDArray[Any], heights: NDArray[Any], frame: tuple[float, float]) -> Floats:
    """The probability that a particle whose centre is in the frame lies wholly inside: (Z1-F1)(Z2-F2)/(Z1·Z2), or 0.

    Raises:
        BadInput: shapes differ, or values that are no lengths.
    """
    across, down = np.asarray(widths, dtype=np.float64), np.asarray(heights, dtype=np.float64)
    if across.ndim != 1 or across.shape != down.shape:
        raise _mismatch()
    size = np.array(frame, dtype=np.float64)
    lengths = np.concatenate([across, down])
    if (
        not np.isfinite(lengths).all()
        or (lengths < 0).any()
        or not (np.isfinite(size).all() and (size > 0).all())
    ):
        raise BadInput(
            "Sizes cannot be corrected for the picture's edge.",
            "Widths, heights and the picture's size have to be positive numbers.",
            "Give them in pixels.",
        )
    shares: Floats = np.maximum(1.0 - across / size[0], 0.0) * np.maximum(1.0 - down / size[1], 0.0)
    return shares


def touches_edge(polygons: NDArray[Any], frame: tuple[int, int], margin: float = 0.5) -> NDArray[np.bool_]:
    """Which outlines come within `margin` pixels of the edge of a picture of this width and height.

    Args:
        polygons: [n, corners, 2], in pixels; a pixel's centre is a whole number, the first's is 0, so that the picture reaches
            from -0.5 to its size - 0.5.
        frame: the picture's width and height, pixels.
        margin: pixels; outlines drawn by a network stop short of an edge that cuts the particle. What counts as whole then
            lies in a frame that is smaller by twice this, which is the one to give to `miles_lantuejoul`.
    """
    points = np.asarray(polygons, dtype=np.float64)
    low, high = points.min(axis=1), points.max(axis=1)
    far = np.array(frame, dtype=np.float64) - 0.5 - margin
    touching: NDArray[np.bool_] = ((low <= -0.5 + margin) | (high >= far)).any(axis=1)
    return touching


def counted_by_centre(
    x: NDArray[Any], y: NDArray[Any], box: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """Which particles a counting frame counts: those whose centre is in it, its left and upper edge included.

    The same rule for frames side by side counts every particle exactly once. For particles whose centre could lie
    outside the picture while a part is seen, the frame has to be smaller than the picture: see `guarded`.

    Args:
        x: [n], of the centres, pixels.
        y: [n].
        box: left, top, right, bottom of the frame, pixels.
    """
    left, top, right, bottom = box
    across, down = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    counted: NDArray[np.bool_] = (across >= left) & (across < right) & (down >= top) & (down < bottom)
    return counted


def guarded(frame: tuple[int, int], largest: float) -> tuple[float, float, float, float]:
    """The counting frame in which every particle with its centre inside is seen whole: the picture less half the largest on each side.

    Sizes of particles counted in it need no weights; it uses fewer of them than `miles_lantuejoul` does.

    Args:
        frame: the picture's width and height, pixels.
        largest: largest Feret diameter of any particle, pixels. For centres that are not the middle of the particle
            give twice the farthest distance from a centre to its outline.

    Returns:
        left, top, right, bottom, for `counted_by_centre`.

    Raises:
        BadInput: nothing of the picture is left.
    """
    width, height = frame
    half = largest / 2.0
    if not (np.isfinite(half) and half >= 0 and 2 * half < min(width, height)):
        raise BadInput(
            "No counting frame fits into the picture.",
            "The largest particle is as large as the picture.",
            "Take pictures at a lower magnification.",
        )
    return half - 0.5, half - 0.5, width - 0.5 - half, height - 0.5 - half


def effective_number(weights: NDArray[Any]) -> float:
    """How many particles of equal weight say as much: (Σw)² / Σw² (L. Kish, Survey Sampling, 1965); 0 for none."""
    counted = np.asarray(weights, dtype=np.float64)
    squares = float((counted**2).sum())
    return float(counted.sum()) ** 2 / squares if squares > 0 else 0.0


def _mismatch() -> BadInput:
    return BadInput(
        "Sizes cannot be corrected for the picture's edge.",
        "Widths, heights and marks of cut particles differ in number.",
        "Give one of each for every particle.",
    )
