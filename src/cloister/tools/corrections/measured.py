"""Counts, sizes and labels of objects as they are after corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cloister.data.labels import Labels
from cloister.sizing.descriptors import LENGTHS, RATIOS
from cloister.tools import types as t
from cloister.tools.corrections.found import Found, Thing
from cloister.tools.corrections.shapes import measured
from cloister.tools.steps.base import Context
from cloister.tools.steps.tabular import Aggregate, Condition, aggregate

_MEASURED = ("x", "y", "area", *LENGTHS, *RATIOS)
_WHOLE = Aggregate(column="diameter", measured_where=(Condition(column="border", comparison="==", value=0.0),))


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
    """Count, and mean, spread, percentiles and histogram of the diameters of those that the edge does not cut."""
    objects = told(found, things)
    columns = {
        name: np.array([_real(one.get(name)) for one in objects], dtype=np.float64)
        for name in ("diameter", "border")
    }
    unit = "px" if found.micrometres_per_pixel is None else "µm"
    return aggregate(Context(), _WHOLE, table=t.Table(columns, {"diameter": unit}))


def labels_of(found: Found, things: Sequence[Thing]) -> Labels:
    """Centres (of the enclosed area) and equivalent circle diameters, pixels: what training takes. Centres outside are left out."""
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
    rounded = {name: np.round(sizes[name][inside], 3).tolist() for name in ("x", "y", "diameter")}
    return Labels(tuple(zip(rounded["x"], rounded["y"], strict=True)), tuple(rounded["diameter"]))


def _rows(found: Found, things: Sequence[Thing]) -> list[Mapping[str, Any]]:
    if not things:
        return []
    columns = measured([thing.points for thing in things], found.micrometres_per_pixel)
    made = []
    for place, thing in enumerate(things):
        low, high = thing.points.min(axis=0), thing.points.max(axis=0)
        cut = (low < -0.5).any() or high[0] > found.width - 0.5 or high[1] > found.height - 0.5
        row: dict[str, Any] = {name: _finite(columns[name][place]) for name in _MEASURED}
        made.append({**row, "border": int(cut)})
    return made


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _real(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
