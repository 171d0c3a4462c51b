"""Peaks of a heat map: where a model says that an object's centre is.

A peak is a pixel that is the highest within `min_distance` of itself and not below the threshold. A pixel on
the outermost row or column is none, unless asked for: the map may rise further outside, and then the object's
centre is not in the picture (on synthetic seed-like pictures this removed two false objects in three).
Training's counting metric and the tools' peak step call this same function, so that a count in a report
is the count that was validated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput


def find_peaks(
    heatmap: NDArray[Any],
    threshold: float,
    min_distance: int,
    *,
    subpixel: bool = False,
    border: bool = False,
) -> NDArray[np.float32]:
    """The local maxima of a map, strongest first, no two within `min_distance`.

    Args:
        heatmap: shape [height, width], any real type; finite values (others are never peaks).
        threshold: the lowest value that counts as a peak, in the map's unit.
        min_distance: pixels, at least 1; of two candidates at this Euclidean distance or less, the higher
            stays (of equals, the one further up, then further left).
        border: whether maxima on the outermost rows and columns count.
        subpixel: move each peak to the vertex of the parabola through its neighbours (at most half a pixel).

    Returns:
        float32, shape [n, 2]: x (column) and y (row) of pixel centres, the first pixel's being 0.

    Raises:
        BadInput: not a two-dimensional map, or a distance below 1.
    """
    if heatmap.ndim != 2 or min_distance < 1:
        raise BadInput(
            "Peaks cannot be sought here.",
            f"The map has shape {heatmap.shape} and the distance is {min_distance}.",
            "Give a map of two dimensions and a distance of at least 1 pixel.",
        )
    if not heatmap.size:
        return np.zeros((0, 2), dtype=np.float32)
    values = np.asarray(heatmap, dtype=np.float32)
    if not np.isfinite(values).all():
        values = np.where(np.isfinite(values), values, np.float32(-np.inf))
    # A square window inside the disc of min_distance proposes; the exact distance decides below.
    rows, columns = _highest(values, threshold, max(1, int(min_distance / np.sqrt(2.0))))
    if not border:
        inner = (rows > 0) & (columns > 0) & (rows < values.shape[0] - 1) & (columns < values.shape[1] - 1)
        rows, columns = rows[inner], columns[inner]
    order = np.lexsort((columns, rows, -values[rows, columns]))
    rows, columns = rows[order], columns[order]
    kept = _suppress(rows, columns, values.shape, min_distance)
    rows, columns = rows[kept], columns[kept]
    peaks = np.stack([columns, rows], axis=1).astype(np.float32)
    if subpixel and len(peaks):
        peaks[:, 0] += _vertex(values, rows, columns, axis=1)
        peaks[:, 1] += _vertex(values, rows, columns, axis=0)
    return peaks


def _highest(
    values: NDArray[np.float32], threshold: float, reach: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels, not below the threshold, than which none in the window of `reach` around them is higher.

    Only those that no neighbour looked at so far exceeds are compared with the next one: after a few, hardly any are left.
    """
    rows, columns = np.nonzero((values >= threshold) & np.isfinite(values))
    here = values[rows, columns]
    offsets = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    for down, right in sorted(offsets, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)[1:]:
        # What lies outside is moved to the edge, which is in the window too.
        above = np.clip(rows + down, 0, values.shape[0] - 1)
        beside = np.clip(columns + right, 0, values.shape[1] - 1)
        stays = here >= values[above, beside]
        rows, columns, here = rows[stays], columns[stays], here[stays]
    return rows, columns


def _suppress(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...], distance: int
) -> NDArray[np.intp]:
    """Indices that stay when the stronger (earlier) removes every later one within `distance`."""
    # Around the map as much again as the distance, so that no disc is cut.
    reach = min(distance, max(shape))
    taken = np.zeros((shape[0] + 2 * reach, shape[1] + 2 * reach), dtype=bool)
    steps = np.arange(-reach, reach + 1)
    disc = steps[:, None] ** 2 + steps[None, :] ** 2 <= distance**2
    side = len(steps)
    kept = []
    for index, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        if not taken[row + reach, column + reach]:
            taken[row : row + side, column : column + side] |= disc
            kept.append(index)
    return np.asarray(kept, dtype=np.intp)


def _vertex(
    values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp], *, axis: int
) -> NDArray[np.float32]:
    """The parabola's vertex through three neighbours, relative to the middle one; 0 at a border or plateau."""
    length = values.shape[axis]
    at = rows if axis == 0 else columns
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, length - 1)
    low = values[before, columns] if axis == 0 else values[rows, before]
    high = values[after, columns] if axis == 0 else values[rows, after]
    middle = values[rows, columns]
    inside = (at > 0) & (at < length - 1) & np.isfinite(low) & np.isfinite(high)
    curve = np.where(inside, low - 2.0 * middle + high, 0.0)
    usable = inside & (curve < 0)
    shift = np.where(usable, 0.5 * (low - high) / np.where(usable, curve, -1.0), 0.0)
    limited: NDArray[np.float32] = np.clip(shift, -0.5, 0.5).astype(np.float32)
    return limited
