"""Counts, sizes and labels of objects as they are after corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.data.labels import SMALLEST, Labels
from cloister.data.polygons import deepest, enclosed, near, surrounds
from cloister.sizing.descriptors import LENGTHS, RATIOS, extents, stack
from cloister.sizing.distribution import summary
from cloister.sizing.frame import cut_by_edge, standing_for
from cloister.tools import types as t
from cloister.tools.corrections.found import Found, Thing
from cloister.tools.corrections.shapes import measured
from cloister.tools.steps.size_figures import diameter_figures, diameter_lengths

_MEASURED = ("x", "y", "area", *LENGTHS, *RATIOS)


def told(found: Found, things: Sequence[Thing]) -> list[dict[str, Any]]:
    """Objects as JSON: `number`, `points`, `by_hand`, and their values; those drawn by hand are measured as the tool measures.

    `x` and `y` (pixels), `area`, lengths and ratios as in ISO 9276-6, `border` 1 where the picture's edge cuts the outline. What only
    the tool's model knows (certainty, sharpness, agglomerate) an object drawn by hand does not have.
    """
    drawn = [thing for thing in things if thing.by_hand]
    rows = dict(zip((thing.number for thing in drawn), _rows(found, drawn), strict=True))
    return [
        {
            "number": thing.number,
            "points": np.round(thing.points, 2).tolist(),
            "by_hand": thing.by_hand,
            **(rows[thing.number] if thing.by_hand else thing.values),
        }
        for thing in things
    ]


def figures_of(found: Found, things: Sequence[Thing]) -> t.Figures:
    """Count and the distribution of diameters, as `size_figures@1` gives them for what a tool found: corrected for the edge."""
    values: dict[str, float | int | None] = {"count": len(things)}
    objects = told(found, things)
    diameters = np.array([_real(one.get("diameter")) for one in objects], dtype=np.float64)
    whole = np.array([_real(one.get("border")) == 0.0 for one in objects], dtype=bool)
    widths, heights = extents(stack([thing.points for thing in things])) if things else (diameters, diameters)
    weights = standing_for(widths, heights, ~whole, (float(found.width), float(found.height)))
    usable = (weights > 0) & np.isfinite(diameters) & (diameters > 0)
    values |= diameter_figures(summary(diameters[usable], weights[usable]))
    unit = "px" if found.micrometres_per_pixel is None else "µm"
    return t.Figures(values, dict.fromkeys(diameter_lengths(values), unit))


def labels_of(found: Found, things: Sequence[Thing]) -> Labels:
    """Centres, equivalent circle diameters and outlines, pixels: what training takes. Objects with their centre outside are left out.

    A centre is that of the enclosed area; of a bent object where that lies outside of it, the place deepest within.
    """
    if not things:
        return Labels((), ())
    sizes = measured([thing.points for thing in things], None)
    inside = (
        (sizes["x"] >= -0.5)
        & (sizes["y"] >= -0.5)
        & (sizes["x"] <= found.width - 0.5)
        & (sizes["y"] <= found.height - 0.5)
        & (sizes["diameter"] > 0)
    )
    centres, outlines = [], []
    for place in np.flatnonzero(inside).tolist():
        points = np.round(things[place].points, 3)
        x, y = (round(float(sizes[name][place]), 3) for name in ("x", "y"))
        if not surrounds(points, x, y):
            x, y = (round(value, 3) for value in deepest(points))
        centres.append((x, y))
        outlines.append(_outline(points, x, y, found))
    return Labels(tuple(centres), tuple(np.round(sizes["diameter"][inside], 3).tolist()), tuple(outlines))


def _outline(
    points: NDArray[np.float64], x: float, y: float, found: Found
) -> tuple[tuple[float, float], ...] | None:
    """An outline that labels can have; None where it encloses too little, or goes on far beyond the picture."""
    if (
        not surrounds(points, x, y)
        or enclosed(points) < SMALLEST
        or not near(points, found.width, found.height)
    ):
        return None
    return tuple((float(cx), float(cy)) for cx, cy in points)


def _rows(found: Found, things: Sequence[Thing]) -> list[Mapping[str, Any]]:
    if not things:
        return []
    columns = measured([thing.points for thing in things], found.micrometres_per_pixel)
    made: list[Mapping[str, Any]] = []
    cut = cut_by_edge(stack([thing.points for thing in things]), (found.width, found.height))
    for place in range(len(things)):
        row: dict[str, Any] = {name: _finite(columns[name][place]) for name in _MEASURED}
        made.append({**row, "border": int(cut[place])})
    return made


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _real(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
