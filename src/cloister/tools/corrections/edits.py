"""What one can do to outlines by hand: closed documents with limits.

Places are x and y in pixels of the given picture, y pointing down, the centre of its first pixel at (0, 0). Objects are named by
their numbers, which are never given to another object.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

MAX_CORNERS = 512
"""Corners of one outline."""
MAX_AT_ONCE = 500
"""Objects that one correction removes or merges."""
FARTHEST = 200_000.0
"""Pixels; no picture is as large."""
MAX_NUMBER = 10_000_000

Coordinate: TypeAlias = Annotated[float, Field(strict=True, ge=-FARTHEST, le=FARTHEST)]
Point: TypeAlias = tuple[Coordinate, Coordinate]
Corners: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MAX_CORNERS)]
Number: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=MAX_NUMBER)]
Numbers: TypeAlias = Annotated[tuple[Number, ...], Field(min_length=1, max_length=MAX_AT_ONCE)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AddDisc(_Closed):
    """Adds a round object.

    Args:
        x: of its centre, pixels.
        y: of its centre, pixels.
        diameter: pixels.
    """

    kind: Literal["add-disc"] = "add-disc"
    x: Coordinate
    y: Coordinate
    diameter: Annotated[float, Field(strict=True, ge=1.0, le=FARTHEST)]


class Add(_Closed):
    """Adds an object with this outline."""

    kind: Literal["add"] = "add"
    points: Corners


class Remove(_Closed):
    """Removes objects."""

    kind: Literal["remove"] = "remove"
    numbers: Numbers


class Split(_Closed):
    """Cuts an object in two along the line through two points."""

    kind: Literal["split"] = "split"
    number: Number
    line: tuple[Point, Point]


class Merge(_Closed):
    """Makes several objects one: what they cover together; where they do not meet, their convex hull."""

    kind: Literal["merge"] = "merge"
    numbers: Annotated[tuple[Number, ...], Field(min_length=2, max_length=MAX_AT_ONCE)]


class Reshape(_Closed):
    """Gives an object another outline; it becomes a new object."""

    kind: Literal["reshape"] = "reshape"
    number: Number
    points: Corners


class Undo(_Closed):
    """Takes back the last correction that holds."""

    kind: Literal["undo"] = "undo"


class Redo(_Closed):
    """Makes the correction again that was taken back last."""

    kind: Literal["redo"] = "redo"


Change: TypeAlias = AddDisc | Add | Remove | Split | Merge | Reshape
Edit: TypeAlias = Annotated[Change | Undo | Redo, Field(discriminator="kind")]
