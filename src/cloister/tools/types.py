"""The values that flow between a tool's steps, and their types as a manifest states them.

Coordinates are pixels of the picture as it was given (upright), x to the right, y down, the centre of the top left
pixel at (0, 0). Values computed on a smaller or larger copy carry `scale`: given pixels per pixel of the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloister.data.stars import Stars

Kind: TypeAlias = Literal[
    "file",
    "image",
    "field",
    "tiles",
    "points",
    "regions",
    "outlines",
    "table",
    "figures",
    "picture",
    "report",
]

KINDS: Mapping[str, str] = {
    "file": "the bytes of a file, and its name",
    "image": "8-bit samples, height x width or height x width x 3",
    "field": "32-bit reals, height x width x channels",
    "tiles": "equal overlapping squares cut from a field, computed one by one",
    "points": "positions in the picture, strongest first, with their strengths",
    "regions": "one number per pixel: 0 for nothing, or the number of an object",
    "outlines": "one closed polygon per object, strongest first, which may overlap, with what a model says of each",
    "table": "named columns of equal length, with units",
    "figures": "named numbers and histograms",
    "picture": "a finished PNG or SVG picture",
    "report": "finished files: a page to read, a table, a machine-readable summary",
}


@dataclass(frozen=True)
class ValueType:
    """The type of a value before it exists.

    Args:
        kind: which of `KINDS`.
        columns: of a table, where known.
        channels: of a field or tiles, where known.
    """

    kind: Kind
    columns: tuple[str, ...] | None = None
    channels: int | None = None

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class File:
    """A file as it came: bytes, and a name to call it by (no folder)."""

    data: bytes
    name: str


@dataclass(frozen=True)
class Image:
    """Pixels: uint8, height x width or height x width x 3."""

    pixels: NDArray[np.uint8]
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class Field:
    """Real values over a picture: float32, height x width x channels."""

    values: NDArray[np.float32]
    scale: float = 1.0


@dataclass(frozen=True)
class Tiles:
    """Squares cut from a field, with enough overlap that their middles can be put together again.

    Args:
        height: of the field.
        width: of the field.
        tile: side of a square, pixels.
        overlap: pixels shared by neighbours.
        channels: of each square.
        produce: gives (row, column of the square's first pixel, float32 tile x tile x channels), row by row; each call
            computes anew, one square in memory at a time.
        scale: given pixels per pixel.
    """

    height: int
    width: int
    tile: int
    overlap: int
    channels: int
    produce: Callable[[], Iterator[tuple[int, int, NDArray[np.float32]]]]
    scale: float = 1.0


@dataclass(frozen=True)
class Points:
    """Positions (n x 2: x, y; given pixels) and their strengths (n)."""

    positions: NDArray[np.float64]
    strengths: NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """Objects over the picture's pixels: int32 height x width, 0 nothing, 1..count the objects' numbers."""

    numbers: NDArray[np.int32]
    count: int
    scale: float = 1.0


@dataclass(frozen=True)
class Outlines:
    """Objects as polygons, strongest first; unlike regions they may overlap.

    Args:
        stars: the objects, in pixels of the given picture.
        height: of the given picture.
        width: of it.
        scale: given pixels per pixel of the copy that the model looked at.
    """

    stars: Stars
    height: int
    width: int
    scale: float = 1.0


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    Args:
        columns: by name.
        units: of some of them.
        scale: pixels of the picture for one of the copy in which a model saw these objects; None where that is not known.
    """

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str] = field(default_factory=dict)
    scale: float | None = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(next(iter(self.columns.values()), ()))

    def heading(self, name: str) -> str:
        """The column's name with its unit, for people."""
        unit = self.units.get(name, "")
        return f"{name} ({unit})" if unit else name


@dataclass(frozen=True)
class Figures:
    """Numbers by name, with units, and histograms by column.

    Args:
        values: numbers; None where there is nothing to compute on.
        units: by name.
        histograms: column → (bin edges, counts), one more edge than counts.
    """

    values: Mapping[str, float | int | None]
    units: Mapping[str, str] = field(default_factory=dict)
    histograms: Mapping[str, tuple[tuple[float, ...], tuple[int, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A finished picture.

    Args:
        data: the file's bytes.
        media_type: what kind of file.
        alternative: what it shows, for those who cannot see it.
        pixels: of it, uint8 height x width x 3, where they are at hand, so that a smaller one need not decode the file; or None.
    """

    data: bytes
    media_type: Literal["image/png", "image/jpeg", "image/svg+xml"]
    alternative: str = ""
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Report:
    """Finished files by name (no folders)."""

    files: Mapping[str, bytes]


Value: TypeAlias = (
    File | Image | Field | Tiles | Points | Regions | Outlines | Table | Figures | Picture | Report
)
