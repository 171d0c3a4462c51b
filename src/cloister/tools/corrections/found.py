"""The outlines of one picture as a tool wrote them, read as foreign bytes.

Rules:
1. What a worker wrote is believed no more than the picture it looked at: sizes, numbers and coordinates are within limits, or the
   file is refused as a whole.
2. Of the values beside an outline, numbers are taken and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation import canonical
from cloister.foundation.errors import BadInput
from cloister.tools.corrections.edits import FARTHEST, MAX_CORNERS, MAX_NUMBER

TYPE = "cloister/outlines@1"
MAX_BYTES = 64 << 20
MAX_OBJECTS = 50_000
MAX_VALUES = 64
_SIDE = 100_000


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        number: of it; no other object of this picture ever has it.
        points: corners [n, 2], pixels; the last joins the first.
        values: its row of the tool's table, numbers by name; None where there is none.
        by_hand: whether a person drew it.
    """

    number: int
    points: NDArray[np.float64] = field(compare=False)
    values: Mapping[str, float | int | None]
    by_hand: bool = False


@dataclass(frozen=True)
class Found:
    """The objects of one picture.

    Attributes:
        width: of the picture, pixels.
        height: of it.
        micrometres_per_pixel: None where it is not known.
        units: of values, by name.
        things: by number, in the order of their numbers.
    """

    width: int
    height: int
    micrometres_per_pixel: float | None
    units: Mapping[str, str]
    things: Mapping[int, Thing]


def parse_outlines(data: bytes) -> Found:
    """The outlines in an `outlines.json`. Raises `BadInput`."""
    told = canonical.parse(data, max_bytes=MAX_BYTES, max_depth=8)
    if not isinstance(told, dict) or told.get("type") != TYPE:
        raise _malformed("It is of another type.")
    width, height = (_side(told.get(name)) for name in ("width", "height"))
    scale = told.get("micrometres_per_pixel")
    if scale is not None and not (_number(scale) and 0 < scale <= 1e6):
        raise _malformed("The size of a pixel is no usable number.")
    units, objects = told.get("units"), told.get("objects")
    if not isinstance(units, dict) or len(units) > MAX_VALUES:
        raise _malformed("It does not say its units.")
    if not isinstance(objects, list) or len(objects) > MAX_OBJECTS:
        raise _malformed(f"It has no list of at most {MAX_OBJECTS} objects.")
    things: dict[int, Thing] = {}
    for place, entry in enumerate(objects, 1):
        thing = _thing(entry, place)
        if thing.number in things:
            raise _malformed(f"Two objects have the number of entry {place}.")
        things[thing.number] = thing
    return Found(
        width,
        height,
        None if scale is None else float(scale),
        {str(name)[:60]: str(unit)[:12] for name, unit in units.items()},
        dict(sorted(things.items())),
    )


def _thing(entry: Any, place: int) -> Thing:
    if not isinstance(entry, dict) or len(entry) > MAX_VALUES + 2:
        raise _malformed(f"Entry {place} is no object with at most {MAX_VALUES} values.")
    number, points = entry.get("number"), entry.get("points")
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_NUMBER:
        raise _malformed(f"Entry {place} has no usable number.")
    if not isinstance(points, list) or not 3 <= len(points) <= MAX_CORNERS:
        raise _malformed(f"Entry {place} does not have 3 to {MAX_CORNERS} corners.")
    if not all(
        isinstance(p, list) and len(p) == 2 and all(_number(c) and abs(c) <= FARTHEST for c in p)
        for p in points
    ):
        raise _malformed(f"Entry {place} has a corner that is no place.")
    values = {
        str(name)[:60]: value
        for name, value in entry.items()
        if name not in {"number", "points"} and (value is None or _number(value))
    }
    return Thing(number, np.array(points, dtype=np.float64), values)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _side(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _SIDE:
        raise _malformed("The picture has no usable size.")
    return value


def _malformed(why: str) -> BadInput:
    return BadInput("The outlines cannot be read.", why, "Have the tool look at the picture again.")
