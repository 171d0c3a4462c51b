"""Micrometres per pixel: where the number comes from, how sure it is, and for which pictures it holds.

A scale error goes into every size as it is, and into every volume three times. So a calibration is kept with its
objective, picture size, day, method and standard uncertainty, and is held against the pictures it is used on (`concerns`).

Uncertainty follows JCGM 100 (GUM) sec. 5: with lengths L ± u(L) and d ± u(d) pixels, scale = L/d, and
(u(scale)/scale)² = (u(L)/L)² + (u(d)/d)².
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from cloister.foundation.documents import Document, invalid, parse_document
from cloister.foundation.errors import BadInput
from cloister.sizing.ruled_lines import RuledLines

MAX_BYTES: Final = 4096
POINT_UNCERTAINTY: Final = 1.0
"""Pixels: how exactly a person sets the end of a line, as a standard uncertainty along it."""
MAX_AGE_DAYS: Final = 365

Method = Literal["ruler", "ruled-lines", "stated"]


def _a_day(text: str) -> str:
    dt.date.fromisoformat(text)
    return text


Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_a_day)]
Size = Annotated[int, Field(ge=1, le=200_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Calibration(Document):
    """One scale and what it holds for; frozen, and read from JSON within limits.

    Attributes:
        micrometres_per_pixel: the scale.
        uncertainty: standard uncertainty of the scale, micrometres per pixel; 0 only if it is not known (method "stated").
        method: "ruler" (two points), "ruled-lines" (a picture of an object micrometer), "stated" (told by somebody).
        objective: which objective, and anything else that changes the scale: adapter, binning.
        width: of the pictures it holds for, pixels.
        height: likewise.
        day: when it was made, YYYY-MM-DD.
    """

    micrometres_per_pixel: Annotated[float, Field(ge=1e-4, le=1e5, allow_inf_nan=False)]
    uncertainty: Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
    method: Method
    objective: Name
    width: Size
    height: Size
    day: Day

    @property
    def relative_uncertainty(self) -> float:
        """Standard uncertainty relative to the scale; lengths have the same, areas twice, volumes three times it."""
        return self.uncertainty / self.micrometres_per_pixel


def from_ruler(
    start: tuple[float, float],
    end: tuple[float, float],
    length: float,
    *,
    objective: str,
    size: tuple[int, int],
    day: str,
    length_uncertainty: float = 0.0,
    point_uncertainty: float = POINT_UNCERTAINTY,
) -> Calibration:
    """From two points in a picture whose distance is known.

    Args:
        start: x and y, pixels.
        end: x and y, pixels.
        length: between them, micrometres.
        objective: see `Calibration`.
        size: width and height of the picture, pixels.
        day: YYYY-MM-DD.
        length_uncertainty: of the ruler, standard, micrometres.
        point_uncertainty: of each point along the line, standard, pixels.

    Raises:
        BadInput: points closer than 10 pixels, or values out of range.
    """
    distance = math.hypot(end[0] - start[0], end[1] - start[1])
    if not (math.isfinite(distance) and distance >= 10.0):
        raise BadInput(
            "No scale can be taken from these points.",
            "They are closer than 10 pixels.",
            "Mark a length across most of the picture: the farther apart, the more exact.",
        )
    if not (math.isfinite(length) and length > 0 and length_uncertainty >= 0 and point_uncertainty >= 0):
        raise BadInput(
            "No scale can be taken from these points.",
            "The length has to be positive, uncertainties at least 0.",
            "Give the length in micrometres.",
        )
    return _made(
        length / distance,
        math.hypot(length_uncertainty / length, math.sqrt(2.0) * point_uncertainty / distance),
        "ruler",
        objective,
        size,
        day,
    )


def from_ruled_lines(
    lines: RuledLines,
    spacing: float,
    *,
    objective: str,
    size: tuple[int, int],
    day: str,
    spacing_uncertainty: float = 0.0,
) -> Calibration:
    """From a picture of an object micrometer, measured by `ruled_lines.find_lines`.

    Args:
        lines: what was found in the picture.
        spacing: between neighbouring lines, micrometres.
        objective: see `Calibration`.
        size: width and height of the picture, pixels.
        day: YYYY-MM-DD.
        spacing_uncertainty: of the micrometer, from its certificate, standard, micrometres.

    Raises:
        BadInput: values out of range.
    """
    if not (math.isfinite(spacing) and spacing > 0 and spacing_uncertainty >= 0):
        raise BadInput(
            "No scale can be taken from these lines.",
            "The spacing has to be positive, its uncertainty at least 0.",
            "Give the spacing that is engraved on the micrometer, in micrometres.",
        )
    relative = math.hypot(spacing_uncertainty / spacing, lines.uncertainty / lines.period)
    return _made(spacing / lines.period, relative, "ruled-lines", objective, size, day)


def read(data: bytes) -> Calibration:
    """A calibration from foreign JSON bytes.

    Raises:
        BadInput: over `MAX_BYTES`, or a field that does not fit.
    """
    return parse_document(Calibration, data, "The calibration", max_bytes=MAX_BYTES)


def concerns(
    calibration: Calibration,
    *,
    size: tuple[int, int],
    today: dt.date,
    objective: str | None = None,
    max_age_days: int = MAX_AGE_DAYS,
) -> tuple[str, ...]:
    """What speaks against using this calibration for such pictures, in sentences for people; empty if nothing does.

    Args:
        calibration: the one in use.
        size: width and height of the picture, pixels. The same camera turned by a right angle has the same scale.
        today: passed in, since nothing here reads a clock.
        objective: of the picture, if it is known; letters' case and spaces do not matter.
        max_age_days: how long a calibration is trusted.
    """
    told = []
    age = (today - dt.date.fromisoformat(calibration.day)).days
    if age > max_age_days:
        told.append(f"The calibration is {age} days old; it should be renewed every {max_age_days} days.")
    if age < 0:
        told.append("The calibration is dated in the future.")
    if sorted(size) != sorted((calibration.width, calibration.height)):
        told.append(
            f"The calibration is for pictures of {calibration.width} x {calibration.height} pixels, "
            f"this one has {size[0]} x {size[1]}: it may be resized or cropped, or from another camera."
        )
    if objective is not None and _plain(objective) != _plain(calibration.objective):
        told.append("The calibration is for another objective.")
    if calibration.uncertainty == 0.0:
        told.append("It is not known how exact the calibration is.")
    return tuple(told)


def _made(
    scale: float, relative: float, method: Method, objective: str, size: tuple[int, int], day: str
) -> Calibration:
    try:
        return Calibration(
            micrometres_per_pixel=scale,
            uncertainty=scale * relative,
            method=method,
            objective=objective,
            width=size[0],
            height=size[1],
            day=day,
        )
    except ValidationError as error:
        raise invalid(error, "The calibration") from None


def _plain(objective: str) -> str:
    return "".join(objective.split()).casefold()
