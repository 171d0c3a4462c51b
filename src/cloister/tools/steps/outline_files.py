"""Outlines as files: JSON for programs (and for correcting by hand), SVG for people, to be laid over the picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.tools import types as t

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Okabe and Ito's, told apart with every common colour vision."""


def as_outlines_json(
    outlines: t.Outlines, table: t.Table | None, micrometres_per_pixel: float | None
) -> bytes:
    """`{"type", "width", "height", "micrometres_per_pixel", "objects": [{"number", "points", ...}]}`.

    Points are x and y in pixels of the given picture, the centre of its first pixel at (0, 0), to a hundredth of a pixel. With
    a table, each object has its row's values.
    """
    rows = _rows(table)
    objects = [
        {"number": number, "points": corners, **rows.get(number, {})}
        for number, corners in enumerate(np.round(outlines.stars.polygons(), 2).tolist(), 1)
    ]
    document = {
        "type": "cloister/outlines@1",
        "width": outlines.width,
        "height": outlines.height,
        "micrometres_per_pixel": micrometres_per_pixel,
        "units": dict(table.units) if table is not None else {},
        "objects": objects,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def as_svg(outlines: t.Outlines, table: t.Table | None, title: str) -> bytes:
    """Outlines and numbers in the picture's coordinates, on nothing; each says its diameter where one points at it."""
    rows = _rows(table)
    unit = table.units.get("diameter", "px") if table is not None else "px"
    stroke = max(1.0, max(outlines.width, outlines.height) / 800)
    size = max(10.0, max(outlines.width, outlines.height) / 110)
    parts = []
    polygons = outlines.stars.polygons()
    # One format for all corners of an outline: one for each would take most of the time.
    corner = " ".join(["%.1f,%.1f"] * polygons.shape[1])
    for number, corners in enumerate(polygons.reshape(len(polygons), 2 * polygons.shape[1]).tolist(), 1):
        row = rows.get(number, {})
        colour = COLOURS[(int(row.get("agglomerate") or number) - 1) % len(COLOURS)]
        points = corner % tuple(corners)
        said = f"{number}: {row['diameter']:.4g} {unit}" if row.get("diameter") is not None else f"{number}"
        x, y = outlines.stars.x[number - 1], outlines.stars.y[number - 1]
        parts.append(
            f'<g><title>{escape(said)}</title><polygon points="{points}" stroke="{colour}"/>'
            f'<text x="{x:.1f}" y="{y:.1f}">{number}</text></g>'
        )
    # SVG counts from the corner of the first pixel, outlines from its centre.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-0.5 -0.5 {outlines.width} {outlines.height}" '
        f'width="{outlines.width}" height="{outlines.height}" role="img"><title>{escape(title)}</title>'
        f'<g fill="none" stroke-width="{stroke:.2g}" font-family="sans-serif" font-size="{size:.3g}">'
        f"<style>text{{fill:#fff;stroke:#000;stroke-width:{size / 6:.2g};paint-order:stroke}}</style>"
        f"{''.join(parts)}</g></svg>"
    ).encode()


def _rows(table: t.Table | None) -> Mapping[int, dict[str, Any]]:
    if table is None or "number" not in table.columns:
        return {}
    columns = {name: plain(values) for name, values in table.columns.items()}
    numbers = columns.pop("number")
    return {
        int(number): dict(zip(columns, row, strict=True))
        for number, row in zip(numbers, _transposed(columns, len(numbers)), strict=True)
    }


def _transposed(columns: Mapping[str, list[Any]], rows: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns.values(), strict=True) if columns else [()] * rows


def plain(values: NDArray[Any]) -> list[Any]:
    """A column as Python's own values, with None for numbers that are none or infinite."""
    made: list[Any] = values.tolist()
    if values.dtype.kind == "f" and np.isfinite(values).all():
        return made
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in made]
