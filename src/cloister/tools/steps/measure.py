"""Sizes and shapes of objects, in pixels or, where the size of a pixel is known, in micrometres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.tools import types as t
from cloister.tools.steps.base import Context, Slot, Step
from cloister.tools.steps.imaging import NoParameters

COLUMNS = ("number", "x", "y", "area", "diameter", "feret", "elongation", "border")


def measure(
    context: Context,
    _parameters: NoParameters,
    *,
    regions: t.Regions,
    points: t.Points | None = None,
    image: t.Image | None = None,
) -> t.Table:
    """One row per object.

    number: as in the regions. x, y: centre of its pixels. area: of its pixels. diameter: of the circle of the same area.
    feret: the largest distance between two of its pixels' corners (maximum caliper). elongation: ratio of the axes of
    the ellipse with the same second moments, 1 for a disc. border: 1 if it touches the picture's edge, where its size
    is not all seen. With points: strength. With a picture: brightness, mean of its pixels, 0..255.
    """
    from scipy import ndimage

    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    brightness: list[float] = []
    grey = None if image is None else _grey(image, regions)
    height, width = regions.numbers.shape
    for number, window in enumerate(ndimage.find_objects(regions.numbers, max_label=regions.count), 1):
        if window is None:
            continue
        top, left = window[0].start, window[1].start
        inside = regions.numbers[window] == number
        rows, columns = np.nonzero(inside)
        rows, columns = rows + top, columns + left
        area = len(rows) * regions.scale**2
        found["number"].append(number)
        found["x"].append((float(columns.mean()) + 0.5) * regions.scale - 0.5)
        found["y"].append((float(rows.mean()) + 0.5) * regions.scale - 0.5)
        found["area"].append(area)
        found["diameter"].append(2.0 * float(np.sqrt(area / np.pi)))
        found["feret"].append(_feret(rows, columns) * regions.scale)
        found["elongation"].append(_elongation(rows, columns))
        found["border"].append(
            float(top == 0 or left == 0 or window[0].stop == height or window[1].stop == width)
        )
        if grey is not None:
            brightness.append(float(grey[window][inside].mean()))
        context.tick(number / max(1, regions.count))
    columns_made: dict[str, NDArray[Any]] = {
        name: np.asarray(values, dtype=np.int64 if name in ("number", "border") else np.float64)
        for name, values in found.items()
    }
    if points is not None:
        columns_made["strength"] = points.strengths[columns_made["number"] - 1]
    if grey is not None:
        columns_made["brightness"] = np.asarray(brightness, dtype=np.float64)
    return t.Table(*_calibrated(columns_made, context.micrometres_per_pixel))


def _calibrated(
    columns: dict[str, NDArray[Any]], size: float | None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    units = {"x": "px", "y": "px", "area": "px²", "diameter": "px", "feret": "px"}
    if size is not None:
        columns["area"] = columns["area"] * size**2
        columns["diameter"] = columns["diameter"] * size
        columns["feret"] = columns["feret"] * size
        units |= {"area": "µm²", "diameter": "µm", "feret": "µm"}
    return columns, units


def _grey(image: t.Image, regions: t.Regions) -> NDArray[Any]:
    pixels = image.pixels if image.pixels.ndim == 2 else image.pixels.mean(axis=2, dtype=np.float32)
    if pixels.shape == regions.numbers.shape:
        return pixels
    height, width = regions.numbers.shape
    rows = np.minimum((np.arange(height) * pixels.shape[0]) // height, pixels.shape[0] - 1)
    columns = np.minimum((np.arange(width) * pixels.shape[1]) // width, pixels.shape[1] - 1)
    nearest: NDArray[Any] = pixels[np.ix_(rows, columns)]
    return nearest


def _feret(rows: NDArray[Any], columns: NDArray[Any]) -> float:
    """The maximum caliper over pixel corners; the two farthest points lie on the convex hull."""
    from scipy.spatial import ConvexHull

    # Only the ends of each pixel row can be on the hull.
    order = np.argsort(rows, kind="stable")
    rows, columns = rows[order], columns[order]
    unique, starts = np.unique(rows, return_index=True)
    lowest = np.minimum.reduceat(columns, starts)
    highest = np.maximum.reduceat(columns, starts)
    corners = np.concatenate(
        [np.stack([unique + down, side], axis=1) for down in (0, 1) for side in (lowest, highest + 1)]
    ).astype(np.float64)
    hull = corners[ConvexHull(corners).vertices]
    gaps = hull[:, None, :] - hull[None, :, :]
    return float(np.sqrt((gaps**2).sum(axis=2).max()))


def _elongation(rows: NDArray[Any], columns: NDArray[Any]) -> float:
    # 1/12 is the second moment of a pixel itself, so that a single pixel is a square and not a point.
    covariance = np.cov(np.stack([rows, columns]), bias=True).reshape(2, 2) + np.eye(2) / 12.0
    small, large = np.linalg.eigvalsh(covariance)
    return float(np.sqrt(large / small))


def _columns(inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]) -> t.ValueType:
    more = [name for name, slot in (("strength", "points"), ("brightness", "image")) if slot in inputs]
    return t.ValueType("table", columns=(*COLUMNS, *more))


STEPS = (
    Step(
        "measure",
        1,
        "Gives every object's place, area, diameters and shape.",
        {
            "regions": Slot("regions"),
            "points": Slot("points", optional=True),
            "image": Slot("image", optional=True),
        },
        "table",
        NoParameters,
        measure,
        _columns,
    ),
)
