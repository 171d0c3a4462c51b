"""From a model's answer to objects: above a threshold, peaks, and a watershed that gives each peak its region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.peaks import find_peaks
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, one_channel_needed

MAX_OBJECTS = 200_000


class Threshold(Parameters):
    """Where objects are.

    Args:
        above: values over this belong to objects.
        minimum_area: pixels; smaller objects are dropped.
    """

    above: float
    minimum_area: Annotated[int, Field(ge=1, le=10**8)] = 1


class Peaks(Parameters):
    """What counts as a peak.

    Args:
        threshold: the lowest value that does.
        min_distance: pixels; of two nearer peaks, the higher stays.
    """

    threshold: float
    min_distance: Annotated[int, Field(ge=1, le=1000)]


class Watershed(Parameters):
    """How regions grow from their points.

    Args:
        above: values over this can belong to a region.
        core: radius in pixels around each point that belongs to its region in any case, so that every point keeps one.
    """

    above: float
    core: Annotated[int, Field(ge=0, le=50)] = 2


def threshold(_context: Context, parameters: Threshold, *, field: t.Field) -> t.Regions:
    """Connected pixels above a threshold become one object each (neighbours by side)."""
    from scipy import ndimage

    numbers, count = ndimage.label(_single(field) > parameters.above)
    if parameters.minimum_area > 1 and count:
        areas = np.bincount(numbers.ravel(), minlength=count + 1)
        keep = areas >= parameters.minimum_area
        keep[0] = False
        renumber = np.where(keep, np.cumsum(keep), 0)
        numbers, count = renumber[numbers], int(keep.sum())
    _limit(count)
    return t.Regions(numbers.astype(np.int32), int(count), field.scale)


def peaks(_context: Context, parameters: Peaks, *, field: t.Field) -> t.Points:
    """Local maxima, strongest first; see `data.peaks`."""
    heat = _single(field)
    found = find_peaks(heat, parameters.threshold, parameters.min_distance)
    _limit(len(found))
    columns, rows = found[:, 0].astype(np.intp), found[:, 1].astype(np.intp)
    # The centre of pixel 0 of a copy at scale s lies at (s - 1) / 2 of the given picture.
    positions = (found.astype(np.float64) + 0.5) * field.scale - 0.5
    return t.Points(positions, heat[rows, columns].astype(np.float64))


def watershed(_context: Context, parameters: Watershed, *, field: t.Field, points: t.Points) -> t.Regions:
    """Floods the field from the points; where two floods meet, the border between touching objects lies.

    L. Vincent, P. Soille, "Watersheds in digital spaces", IEEE TPAMI 13(6), 1991, as scikit-image implements it.
    Region i is point i's, counting from 1.
    """
    from skimage.segmentation import watershed as flood

    height_of = _single(field)
    mask = height_of > parameters.above
    markers = np.zeros(mask.shape, dtype=np.int32)
    spots = np.rint((points.positions + 0.5) / field.scale - 0.5).astype(np.intp)
    spots = np.clip(spots, 0, np.array([mask.shape[1] - 1, mask.shape[0] - 1]))
    # Weakest first, so that of two overlapping cores the stronger point's stays whole.
    for number in range(len(spots), 0, -1):
        _disc(mask, markers, spots[number - 1], number, parameters.core)
    for number, (x, y) in enumerate(spots, 1):
        markers[y, x] = number
    numbers = flood(-height_of, markers, mask=mask)
    return t.Regions(numbers.astype(np.int32, copy=False), len(spots), field.scale)


def _disc(
    mask: NDArray[np.bool_], markers: NDArray[np.int32], spot: NDArray[np.intp], number: int, radius: int
) -> None:
    x, y = int(spot[0]), int(spot[1])
    top, left = max(0, y - radius), max(0, x - radius)
    rows = np.arange(top, min(mask.shape[0], y + radius + 1))[:, None]
    columns = np.arange(left, min(mask.shape[1], x + radius + 1))[None, :]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius * radius
    window = (slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1]))
    mask[window] |= inside
    markers[window] = np.where(inside, number, markers[window])


def _single(field: t.Field) -> NDArray[np.float32]:
    if field.values.shape[2] != 1:
        raise BadInput(
            "This step takes one channel.",
            f"The field has {field.values.shape[2]}.",
            "Put a step channel@1 before it.",
        )
    return field.values[:, :, 0]


def _limit(count: int) -> None:
    if count > MAX_OBJECTS:
        raise BadInput(
            "There are too many objects to tell apart.",
            f"The limit is {MAX_OBJECTS}.",
            "Raise the threshold, or check the picture.",
        )


def _regions(
    inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Model]
) -> t.ValueType:
    one_channel_needed(inputs["field"])
    return t.ValueType("regions")


def _points(inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Model]) -> t.ValueType:
    one_channel_needed(inputs["field"])
    return t.ValueType("points")


STEPS = (
    Step(
        "threshold",
        1,
        "Connected pixels above a value become objects.",
        {"field": Slot("field")},
        "regions",
        Threshold,
        threshold,
        _regions,
    ),
    Step(
        "peaks",
        1,
        "Finds where a field is highest.",
        {"field": Slot("field")},
        "points",
        Peaks,
        peaks,
        _points,
    ),
    Step(
        "watershed",
        1,
        "Grows one region around each point, apart from its neighbours'.",
        {"field": Slot("field"), "points": Slot("points")},
        "regions",
        Watershed,
        watershed,
        _regions,
    ),
)
