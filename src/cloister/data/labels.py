"""Labels of pictures: where the objects' centres are, and if known how large they are, what they look like, and where bubbles are.

Coordinates are pixels of the upright picture: x to the right, y down, the centre of the top left pixel at (0, 0).
Errors name the file and the line or entry, never the value.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cloister.data.polygons import enclosed, near, surrounds
from cloister.foundation import canonical
from cloister.foundation.errors import BadInput

MAX_POINTS = 100_000
MAX_CORNERS = 512
"""Of one outline."""
SMALLEST = 1.0
"""Area of the smallest outline, pixels squared."""
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Labels:
    """The objects in one picture.

    Args:
        centres: (x, y) of each object, pixels.
        diameters: of each object in the same order, pixels, of the circle of the same area; None where unknown.
        outlines: corners (x, y) of each object in order, around its centre; None for an object, or for all, where unknown.
        bubbles: (x, y, radius) of each, pixels; None where nobody looked for them.
    """

    centres: tuple[tuple[float, float], ...]
    diameters: tuple[float, ...] | None = None
    outlines: tuple[tuple[tuple[float, float], ...] | None, ...] | None = None
    bubbles: tuple[tuple[float, float, float], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The canonical form that commitments cover; without outlines and bubbles as it was before there were any."""
        told: dict[str, Any] = {
            "centres": [list(centre) for centre in self.centres],
            "diameters": None if self.diameters is None else list(self.diameters),
        }
        if self.outlines is not None:
            told["outlines"] = [
                None if outline is None else [list(corner) for corner in outline] for outline in self.outlines
            ]
        if self.bubbles is not None:
            told["bubbles"] = [list(bubble) for bubble in self.bubbles]
        return told

    def check_inside(self, width: int, height: int, file: str) -> None:
        """Raises `BadInput` if a centre lies outside a picture of this size, or an outline or bubble far from it."""
        for number, (x, y) in enumerate(self.centres, 1):
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                raise BadInput(
                    f"A label lies outside its picture {file}.",
                    f"Centre {number} is not within its {width} x {height} pixels.",
                    "Check that labels are x,y in pixels of this picture, y pointing down.",
                )
        for number, outline in enumerate(self.outlines or (), 1):
            if outline is not None and not near(np.array(outline), width, height):
                raise _far(file, f"Outline {number}", width, height)
        for number, bubble in enumerate(self.bubbles or (), 1):
            if not near(np.array([bubble[:2]]), width, height):
                raise _far(file, f"Bubble {number}", width, height)


def parse_json_labels(data: bytes, file: str) -> Labels:
    """Labels from `{"centres": [[x, y], …], "diameters": [d, …], "outlines": [[[x, y], …], …], "bubbles": [[x, y, r], …]}`.

    All but the centres may be left out, and an object's outline may be null. Diameters that are left out follow from the outlines,
    if all objects have one.
    """
    value = canonical.parse(data, max_bytes=MAX_BYTES, max_depth=8)
    if (
        not isinstance(value, dict)
        or not set(value) <= {"centres", "diameters", "outlines", "bubbles"}
        or not isinstance(value.get("centres"), list)
    ):
        raise _malformed(
            file, "It must be an object with `centres` and, if known, `diameters`, `outlines` and `bubbles`."
        )
    centres = [_pair(entry, file, f"Centre {number}") for number, entry in enumerate(value["centres"], 1)]
    diameters, given, bubbles = value.get("diameters"), value.get("outlines"), value.get("bubbles")
    if diameters is not None:
        if not isinstance(diameters, list) or len(diameters) != len(centres):
            raise _malformed(file, "There must be one diameter for each centre.")
        diameters = [
            _diameter(entry, file, f"diameter {number}") for number, entry in enumerate(diameters, 1)
        ]
    outlines = None
    if given is not None:
        if not isinstance(given, list) or len(given) != len(centres):
            raise _malformed(file, "There must be one outline, or null, for each centre.")
        outlines = [
            _outline(entry, centre, file, number)
            for number, (entry, centre) in enumerate(zip(given, centres, strict=True), 1)
        ]
        whole = [outline for outline in outlines if outline is not None]
        if diameters is None and len(whole) == len(centres):
            diameters = [2 * math.sqrt(enclosed(np.array(outline)) / math.pi) for outline in whole]
    if bubbles is not None:
        if not isinstance(bubbles, list) or len(bubbles) > MAX_POINTS:
            raise _malformed(file, f"Bubbles must be a list of at most {MAX_POINTS}.")
        bubbles = [_bubble(entry, file, number) for number, entry in enumerate(bubbles, 1)]
    return replace(
        _labels(centres, diameters, file),
        outlines=None if outlines is None else tuple(outlines),
        bubbles=None if bubbles is None else tuple(bubbles),
    )


def parse_csv_labels(data: bytes, file: str) -> Labels:
    """Labels from CSV with a header `x,y` or `x,y,diameter`, one object a line."""
    header, rows = _csv(data, file)
    if header not in (["x", "y"], ["x", "y", "diameter"]):
        raise _malformed(file, "Its first line must be x,y or x,y,diameter.")
    found = [_row(row, file, line) for line, row in rows]
    return _gather(found, file, with_diameters="diameter" in header)


def parse_common_labels(data: bytes, file: str) -> Mapping[str, Labels]:
    """Labels of many pictures from one CSV with a header `file,x,y` or `file,x,y,diameter`.

    A line with a file name and nothing else says that this picture was looked at and has no object.
    """
    header, rows = _csv(data, file)
    if header not in (["file", "x", "y"], ["file", "x", "y", "diameter"]):
        raise _malformed(file, "Its first line must be file,x,y or file,x,y,diameter.")
    found: dict[str, list[tuple[float, float, float | None]]] = {}
    for line, row in rows:
        if not row[0]:
            raise _malformed(file, f"Line {line} names no picture.")
        entries = found.setdefault(row[0], [])
        if any(row[1:]):
            entries.append(_row(row[1:], file, line))
    return {
        name: _gather(entries, file, with_diameters="diameter" in header) for name, entries in found.items()
    }


def _csv(data: bytes, file: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if len(data) > MAX_BYTES:
        raise BadInput(f"The labels {file} are too large.", f"The limit is {MAX_BYTES} bytes.", "Split them.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _malformed(file, "It is not UTF-8 text.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    header: list[str] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = [cell.lower() for cell in cells]
            elif len(cells) != len(header):
                raise _malformed(
                    file, f"Line {reader.line_num} has {len(cells)} cells; the header has {len(header)}."
                )
            else:
                rows.append((reader.line_num, cells))
    except csv.Error:
        raise _malformed(file, f"Line {reader.line_num} is not CSV.") from None
    return header, rows


def _row(cells: list[str], file: str, line: int) -> tuple[float, float, float | None]:
    numbers: list[float] = []
    for cell in cells:
        try:
            numbers.append(float(cell))
        except ValueError:
            raise _malformed(file, f"Line {line} has something that is no number.") from None
    x, y = _finite(numbers[0], file, f"line {line}"), _finite(numbers[1], file, f"line {line}")
    return x, y, _diameter(numbers[2], file, f"line {line}") if len(numbers) > 2 else None


def _gather(rows: list[tuple[float, float, float | None]], file: str, *, with_diameters: bool) -> Labels:
    diameters = [row[2] for row in rows if row[2] is not None]
    return _labels([(x, y) for x, y, _ in rows], diameters if with_diameters else None, file)


def _labels(centres: list[tuple[float, float]], diameters: list[float] | None, file: str) -> Labels:
    if len(centres) > MAX_POINTS:
        raise BadInput(
            f"The labels {file} have too many points.",
            f"The limit is {MAX_POINTS} a picture.",
            "Check the file.",
        )
    return Labels(tuple(centres), None if diameters is None else tuple(diameters))


def _pair(entry: Any, file: str, what: str) -> tuple[float, float]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise _malformed(file, f"{what} is not a pair [x, y].")
    return _finite(entry[0], file, what.lower()), _finite(entry[1], file, what.lower())


def _outline(
    entry: Any, centre: tuple[float, float], file: str, number: int
) -> tuple[tuple[float, float], ...] | None:
    """Corners of an outline with its centre inside; without that no ray from the centre would end on it."""
    if entry is None:
        return None
    if not isinstance(entry, list) or not 3 <= len(entry) <= MAX_CORNERS:
        raise _malformed(file, f"Outline {number} has not 3 to {MAX_CORNERS} corners.")
    corners = tuple(_pair(corner, file, f"A corner of outline {number}") for corner in entry)
    points = np.array(corners)
    if not surrounds(points, *centre) or enclosed(points) < SMALLEST:
        raise _malformed(
            file, f"Outline {number} does not enclose its centre and at least {SMALLEST:g} pixel."
        )
    return corners


def _bubble(entry: Any, file: str, number: int) -> tuple[float, float, float]:
    if not isinstance(entry, list) or len(entry) != 3:
        raise _malformed(file, f"Bubble {number} is not [x, y, radius].")
    x, y = _pair(entry[:2], file, f"Bubble {number}")
    return x, y, _diameter(entry[2], file, f"bubble {number}")


def _finite(value: Any, file: str, place: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or abs(value) > 1e7
    ):
        raise _malformed(file, f"At {place}: a coordinate is not a usable number.")
    return float(value)


def _diameter(value: Any, file: str, place: str) -> float:
    number = _finite(value, file, place)
    if number <= 0:
        raise _malformed(file, f"At {place}: a diameter is not above zero.")
    return number


def _far(file: str, what: str, width: int, height: int) -> BadInput:
    return BadInput(
        f"A label lies far from its picture {file}.",
        f"{what} goes farther beyond its {width} x {height} pixels than the picture is large.",
        "Check that labels are x,y in pixels of this picture, y pointing down.",
    )


def _malformed(file: str, why: str) -> BadInput:
    return BadInput(
        f"The labels {file} cannot be read.", why, "See the page on datasets for the forms that labels take."
    )
