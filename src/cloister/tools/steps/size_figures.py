"""Counts and sizes of outlined objects as the field reports them, for one picture.

Sizes are of objects that the picture's edge does not cut, each standing for as many as the edge has taken of its size (Miles and
Lantuéjoul; ISO 13322-1); where one is as large as the picture there is no such number, and each stands for itself. Weighted by
number and by volume (ISO 9276-1), with the means of ISO 9276-2 and the sugar industry's mean aperture (`cloister.sizing`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.sizing.counting import MAX_COVERAGE, MAX_FOUND, count_interval
from cloister.sizing.descriptors import extents
from cloister.sizing.distribution import summary
from cloister.sizing.frame import standing_for
from cloister.sizing.sieving import mean_aperture
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Parameters, Slot, Step, columns_needed
from cloister.tools.steps.tabular import histogram, numbers

NEEDED = ("diameter", "feret", "feret_min", "agglomerate", "border")
_GRID = 1024
"""Longest side of the raster on which covered ground is measured, pixels."""
_BOTH_SIDES = 1.96
"""Standard deviations to each side that hold 95 of 100 normal errors."""


class SizeFigures(Parameters):
    """What is known of the finder, and how the histogram is cut.

    Args:
        reach: around an object's middle, in mean areas, within which another's middle hides it; see `sizing.counting`.
        recall: share of objects in plain sight that are found.
        error: of the finder's counts from picture to picture, false finds and misses together: a standard deviation over the count.
        bins: of the histogram.
    """

    reach: Annotated[float, Field(ge=0, le=20)] = 1.0
    recall: Annotated[float, Field(ge=0.05, le=1)] = 1.0
    error: Annotated[float, Field(ge=0, le=1)] = 0.0
    bins: Annotated[int, Field(ge=2, le=200)] = 20


def size_figures(
    _context: Context, parameters: SizeFigures, *, outlines: t.Outlines, table: t.Table
) -> t.Figures:
    """Counts, and the distribution of sizes by number and by volume.

    count: objects found. count_estimate: how many there are, those hidden by others too, if objects lie at random and later ones hide
    earlier ones (the median). count_low, count_high: where the true number lies in 95 of 100 pictures that are like those on which the
    finder's error was measured; what was found lies within. agglomerates, and primaries that are part of one.
    diameter_*: of the circle of the same area; d10, d50, d90 and span by number, then by volume; sauter (D[3,2]) and brouckere (D[4,3]) means. mean_aperture and its
    coefficient of variation in per cent, after the smallest caliper.
    """
    agglomerate, border = numbers(table, "agglomerate"), numbers(table, "border")
    values: dict[str, float | int | None] = {"count": table.rows}
    values |= count_range(outlines, numbers(table, "diameter"), parameters)
    values["agglomerates"] = len(np.unique(agglomerate[agglomerate > 0]))
    values["agglomerated"] = int((agglomerate > 0).sum())
    weights = _weights(outlines, border)
    diameters = numbers(table, "diameter")
    usable = (weights > 0) & np.isfinite(diameters) & (diameters > 0)
    sizes, weights = diameters[usable], weights[usable]
    found = summary(sizes, weights)
    values |= diameter_figures(found)
    values["diameter_sauter"], values["diameter_brouckere"] = found["mean"]["D[3,2]"], found["mean"]["D[4,3]"]
    values |= {"mean_aperture": None, "mean_aperture_variation": None}
    if len(sizes):
        wide, long = numbers(table, "feret_min")[usable], numbers(table, "feret")[usable]
        sieved = mean_aperture(wide, long, weights=weights)
        values["mean_aperture"], values["mean_aperture_variation"] = sieved.aperture, sieved.variation
    histograms = {"diameter": histogram(sizes, parameters.bins)} if len(sizes) else {}
    unit = table.units.get("diameter", "px")
    units = dict.fromkeys([*diameter_lengths(values), "diameter", "mean_aperture"], unit)
    return t.Figures(values, units | {"mean_aperture_variation": "%"}, histograms)


def diameter_figures(found: Mapping[str, Any]) -> dict[str, float | int | None]:
    """Number, mean and percentiles by number and by volume of a `sizing.distribution.summary`, as figures are called."""
    return {
        "diameter_measured": found["measured"],
        "diameter_mean": found["mean"]["D[1,0]"],
        **{f"diameter_{name}": value for name, value in found["number"].items()},
        **{f"diameter_by_volume_{name}": value for name, value in found["volume"].items()},
    }


def diameter_lengths(values: Mapping[str, Any]) -> list[str]:
    """The names of those figures of diameters that are lengths."""
    return [
        name for name in values if name.startswith("diameter_") and not name.endswith(("measured", "span"))
    ]


def coverage(outlines: t.Outlines) -> float:
    """Share of the picture that outlines cover, overlaps once; 0 to 1."""
    from PIL import Image, ImageDraw

    scale = min(1.0, _GRID / max(outlines.width, outlines.height))
    drawn = Image.new("1", (max(1, round(outlines.width * scale)), max(1, round(outlines.height * scale))), 0)
    pen = ImageDraw.Draw(drawn)
    corners = (outlines.stars.polygons() + 0.5) * scale - 0.5
    for polygon in corners.reshape(len(corners), 2 * corners.shape[1]).tolist():
        pen.polygon(polygon, fill=1)
    return float(np.asarray(drawn, dtype=bool).mean())


def count_range(
    outlines: t.Outlines, diameters: NDArray[np.float64], parameters: SizeFigures
) -> dict[str, int | None]:
    """How many objects there are: `count_estimate`, `count_low` and `count_high`; None of more than can be told.

    Args:
        outlines: of the objects.
        diameters: of the same objects, in any unit.
        parameters: what is known of the finder.
    """
    count = len(diameters)
    if count > MAX_FOUND:
        return {"count_estimate": None, "count_low": None, "count_high": None}
    area = diameters**2
    varied = float(np.std(area) / np.mean(area)) if count and np.mean(area) > 0 else 0.0
    found = count_interval(
        count,
        min(coverage(outlines), MAX_COVERAGE),
        reach=parameters.reach,
        recall=parameters.recall,
        area_variation=min(varied, 10.0),
    )
    # Under the model some are nearly always hidden, so that its range lies above what was found. That there are any at all, the
    # picture does not tell: the range that is printed begins with what was seen. What the finder errs besides has either sign, and
    # nothing to do with what is hidden: the two add up as independent errors do.
    slack = _BOTH_SIDES * parameters.error * count
    below, above = max(0, count - found.count_low), max(0, found.count_high - count)
    return {
        "count_estimate": found.count,
        "count_low": math.floor(count - math.hypot(below, slack)),
        "count_high": math.ceil(count + math.hypot(above, slack)),
    }


def _weights(outlines: t.Outlines, border: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = border == 0
    widths, heights = extents(outlines.stars.polygons())
    return standing_for(widths, heights, ~whole, (float(outlines.width), float(outlines.height)))


def _columns(inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]) -> t.ValueType:
    columns_needed(inputs["table"], *NEEDED)
    return t.ValueType("figures")


STEPS = (
    Step(
        "size_figures",
        1,
        "Counts outlined objects and gives the distribution of their sizes, corrected for the picture's edge.",
        {"outlines": Slot("outlines"), "table": Slot("table")},
        "figures",
        SizeFigures,
        size_figures,
        _columns,
    ),
)
