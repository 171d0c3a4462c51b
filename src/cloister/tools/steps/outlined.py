"""Sizes and shapes of outlined objects, in pixels or, where the size of a pixel is known, in micrometres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cloister.data.stars import together
from cloister.sizing.descriptors import LENGTHS, RATIOS, describe, extents
from cloister.sizing.frame import cut_by_edge
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Slot, Step
from cloister.tools.steps.imaging import NoParameters

COLUMNS = (
    *("number", "x", "y", "area", *LENGTHS, "across", "down", *RATIOS),
    *("strength", "focus", "hidden", "agglomerate", "border"),
)

SHARPEST = 10.0
"""Percentile of a picture's blurs that counts as in focus."""


def measure_outlines(context: Context, _parameters: NoParameters, *, outlines: t.Outlines) -> t.Table:
    """One row per object, names as in ISO 9276-6.

    number: as in the outlines. x, y: centroid, pixels. area, diameter (of the circle of the same area), feret, feret_min, feret_90
    (largest, smallest caliper, and that at right angles to the largest), perimeter, across, down (calipers along the picture's sides), aspect_ratio, circularity, convexity, solidity:
    of the outline. strength: the model's certainty. focus: sharpness of the outline over that of the sharpest tenth of the
    picture, at most 1. hidden: share of it that the model takes to be under others. agglomerate: number of the agglomerate
    that it is part of, 0 for none. border: 1 if the picture's edge cuts it, where its size is not all seen.
    """
    stars = outlines.stars
    polygons = stars.polygons()
    columns: dict[str, Any] = {"number": np.arange(1, len(stars) + 1, dtype=np.int64)}
    columns |= describe(polygons, micrometres_per_pixel=context.micrometres_per_pixel)
    scale = context.micrometres_per_pixel or 1.0
    columns["across"], columns["down"] = (scale * extent for extent in extents(polygons))
    blur = np.maximum(stars.blur, 1e-3)
    sharp = float(np.percentile(blur, SHARPEST)) if len(blur) else 1.0
    columns["strength"] = stars.strength
    columns["focus"] = np.minimum(1.0, sharp / blur)
    columns["hidden"] = stars.hidden
    columns["agglomerate"] = together(stars)
    columns["border"] = cut_by_edge(polygons, (outlines.width, outlines.height)).astype(np.int64)
    long, wide = ("px", "px²") if context.micrometres_per_pixel is None else ("µm", "µm²")
    units = {"x": "px", "y": "px", "area": wide} | dict.fromkeys((*LENGTHS, "across", "down"), long)
    return t.Table({name: columns[name] for name in COLUMNS}, units, outlines.scale)


def _columns(_inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]) -> t.ValueType:
    return t.ValueType("table", columns=COLUMNS)


STEPS = (
    Step(
        "measure_outlines",
        1,
        "Gives every outlined object's place, size, shape, sharpness and agglomerate.",
        {"outlines": Slot("outlines")},
        "table",
        NoParameters,
        measure_outlines,
        _columns,
    ),
)
