"""Results drawn over the original: outlines, crosses and numbers.

Colours are those of Okabe and Ito, told apart with every common colour vision; every outline also has its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.png import encode_png
from cloister.data.scaling import resized
from cloister.data.stars import Stars
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Parameters, Slot, Step
from cloister.tools.steps.numerals import numeral
from cloister.tools.steps.outline_files import COLOURS

_PALETTE = np.array([list(bytes.fromhex(colour[1:])) for colour in COLOURS], dtype=np.uint8)


class Overlay(Parameters):
    """What to draw.

    Args:
        numbers: write each object's number beside it.
        thickness: of outlines, pixels; by the picture's size if 0.
        longest: side of what is drawn, pixels; larger pictures are drawn smaller. 0 for as large as the picture.
    """

    numbers: bool = True
    thickness: Annotated[int, Field(ge=0, le=32)] = 0
    longest: Annotated[int, Field(ge=0, le=20_000)] = 0


def overlay(
    context: Context,
    parameters: Overlay,
    *,
    image: t.Image,
    regions: t.Regions | None = None,
    points: t.Points | None = None,
    outlines: t.Outlines | None = None,
    table: t.Table | None = None,
) -> t.Picture:
    """Outlines and crosses (at points) over the picture; with a table, only of the objects in it.

    Objects of one agglomerate, where the table tells it, have one colour.
    """
    from PIL import Image

    pixels, factor = _canvas(image.pixels, parameters.longest)
    canvas = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    height, width = canvas.shape[:2]
    thickness = parameters.thickness or max(1, round(max(height, width) / 800))
    wanted = None if table is None else {int(number) for number in table.columns.get("number", ())}
    if regions is not None:
        _outlines(canvas, regions, wanted, thickness)
    marks = [
        (number, (x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5)
        for number, x, y in _marks(points, table, wanted)
    ]
    drawn = Image.fromarray(canvas)
    if outlines is not None:
        _polygons(drawn, outlines.stars.enlarged(factor), table, wanted, thickness)
    if points is not None or parameters.numbers:
        _write(drawn, marks, crosses=points is not None, numbers=parameters.numbers, thickness=thickness)
    finished = np.asarray(drawn)
    if wanted is not None:
        count = len(wanted)
    else:
        count = (
            len(outlines.stars)
            if outlines is not None
            else regions.count
            if regions is not None
            else len(marks)
        )
    alternative = f"{context.subject or 'The picture'} with {count} objects marked"
    return t.Picture(encode_png(finished), "image/png", alternative, finished)


def _canvas(pixels: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], float]:
    """What is drawn on, and its size over the picture's."""
    side = max(pixels.shape[:2])
    factor = longest / side if longest and side > longest else 1.0
    return resized(pixels, factor), factor


def _outlines(canvas: NDArray[np.uint8], regions: t.Regions, wanted: set[int] | None, thickness: int) -> None:
    from scipy import ndimage

    height, width = canvas.shape[:2]
    numbers = regions.numbers
    if numbers.shape != (height, width):
        rows = (np.arange(height) * numbers.shape[0]) // height
        columns = (np.arange(width) * numbers.shape[1]) // width
        numbers = numbers[np.ix_(rows, columns)]
    if wanted is not None:
        keep = np.zeros(regions.count + 1, dtype=bool)
        keep[[number for number in wanted if 0 < number <= regions.count]] = True
        numbers = np.where(keep[numbers], numbers, 0)
    edge = np.zeros((height, width), dtype=bool)
    for axis in (0, 1):
        differs = np.diff(numbers, axis=axis) != 0
        edge[(slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))] |= differs
        edge[(slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))] |= differs
    edge &= numbers > 0
    if thickness > 1:
        wide = ndimage.binary_dilation(edge, iterations=thickness - 1) & (numbers > 0)
        edge |= wide
    canvas[edge] = _PALETTE[(numbers[edge] - 1) % len(_PALETTE)]


def _polygons(
    drawn: Any, stars: Stars, table: t.Table | None, wanted: set[int] | None, thickness: int
) -> None:
    from PIL import ImageDraw

    pen = ImageDraw.Draw(drawn)
    group: dict[int, int] = {}
    if table is not None and {"number", "agglomerate"} <= set(table.columns):
        pairs = zip(table.columns["number"], table.columns["agglomerate"], strict=True)
        group = {int(number): int(of) for number, of in pairs if of}
    palette = [tuple(colour) for colour in _PALETTE.tolist()]
    for number, corners in enumerate(stars.polygons().tolist(), 1):
        if wanted is not None and number not in wanted:
            continue
        path = [(x, y) for x, y in corners]
        colour = palette[(group.get(number, number) - 1) % len(palette)]
        pen.line([*path, path[0], path[1]], fill=colour, width=thickness, joint="curve")


def _marks(
    points: t.Points | None, table: t.Table | None, wanted: set[int] | None
) -> list[tuple[int, float, float]]:
    if points is not None:
        return [
            (number, float(x), float(y))
            for number, (x, y) in enumerate(points.positions, 1)
            if wanted is None or number in wanted
        ]
    if table is not None and {"number", "x", "y"} <= set(table.columns):
        columns = table.columns
        return [
            (int(n), float(x), float(y))
            for n, x, y in zip(columns["number"], columns["x"], columns["y"], strict=True)
        ]
    return []


def _write(
    drawn: Any, marks: list[tuple[int, float, float]], *, crosses: bool, numbers: bool, thickness: int
) -> None:
    from PIL import ImageDraw

    pen = ImageDraw.Draw(drawn)
    size = max(10, round(max(drawn.size) / 110))
    arm = max(2, 2 * thickness + 1)
    for number, x, y in marks:
        if crosses:
            for line in ((x - arm, y, x + arm, y), (x, y - arm, x, y + arm)):
                pen.line(line, fill=(0, 0, 0), width=thickness + 2)
            for line in ((x - arm, y, x + arm, y), (x, y - arm, x, y + arm)):
                pen.line(line, fill=(255, 255, 255), width=thickness)
        if numbers:
            picture, mask, before = numeral(number, size)
            drawn.paste(picture, (round(x + arm + 1) - before, round(y + arm + 1) - before), mask)


def _something_to_draw(
    inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]
) -> t.ValueType:
    if not {"regions", "points", "outlines"} & set(inputs):
        raise BadInput(
            "There is nothing to draw.",
            "Neither regions, points nor outlines are given.",
            "Name one of them.",
        )
    return t.ValueType("picture")


STEPS = (
    Step(
        "overlay",
        1,
        "Draws outlines and numbers of objects over the picture, as PNG.",
        {
            "image": Slot("image"),
            "regions": Slot("regions", optional=True),
            "points": Slot("points", optional=True),
            "outlines": Slot("outlines", optional=True),
            "table": Slot("table", optional=True),
        },
        "picture",
        Overlay,
        overlay,
        _something_to_draw,
    ),
)
