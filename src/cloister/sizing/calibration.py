"""Micrometres per pixel: where the number comes from, how sure it is, and for which pictures it holds.

A scale error goes into every size as it is, and into every volume three times. So a calibration is kept with its
objective, picture size, day, method and standard uncertainty, and is held against the pictures it is used on: those of another
size are refused (`expect_size`), and what else speaks against it is told (`concerns`). The two lengths that the scale was made of
are in it, so that anybody can divide again.

Uncertainty follows JCGM 100 (GUM) sec. 5: with lengths L ± u(L) and d ± u(d) pixels, scale = L/d, and
(u(scale)/scale)² = (u(L)/L)² + (u(d)/d)².
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from cloister.foundation.digests import DIGEST_PATTERN
from cloister.foundation.documents import Document, invalid, parse_document
from cloister.foundation.errors import BadInput
from cloister.foundation.text import acts
from cloister.sizing.ruled_lines import RuledLines

MAX_BYTES: Final = 4096
POINT_UNCERTAINTY: Final = 1.0
"""Pixels: how exactly a person sets the end of a line, as a standard uncertainty along it."""
MAX_AGE_DAYS: Final = 365

Method = Literal["ruler", "ruled-lines", "stated"]


def _a_day(text: str) -> str:
    dt.date.fromisoformat(text)
    return text


def _a_line(text: str) -> str:
    if acts(text) or not text.strip():
        raise ValueError("it has characters that nobody types, or nothing but spaces")
    return text


Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_a_day)]
Size = Annotated[int, Field(ge=1, le=200_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80), AfterValidator(_a_line)]
Length = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
Doubt = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
_EXACT: Final = 1e-9
"""Relative difference between the scale written down and the one that its two lengths give."""


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
        camera: which camera, if somebody said so.
        operator: who made it, if somebody said so.
        valid_until: the last day on which it is to be used; None: `MAX_AGE_DAYS` after `day`.
        picture: digest of the file that was measured, if there was one.
        known: the length on the scale, micrometres: between the points, or between neighbouring lines. Like the three below,
            None only if the method is "stated".
        known_uncertainty: standard, micrometres.
        measured: the same length in the picture, pixels.
        measured_uncertainty: standard, pixels.
    """

    type: Literal["cloister/calibration@1"] = "cloister/calibration@1"
    micrometres_per_pixel: Annotated[float, Field(ge=1e-4, le=1e5, allow_inf_nan=False)]
    uncertainty: Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
    method: Method
    objective: Name
    width: Size
    height: Size
    day: Day
    camera: Name | None = None
    operator: Name | None = None
    valid_until: Day | None = None
    picture: Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)] | None = None
    known: Length | None = None
    known_uncertainty: Doubt | None = None
    measured: Length | None = None
    measured_uncertainty: Doubt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Calibration:
        lengths = (self.known, self.known_uncertainty, self.measured, self.measured_uncertainty)
        if self.valid_until is not None and self.valid_until < self.day:
            raise ValueError("it ends before the day on which it was made")
        if self.method == "stated":
            if any(length is not None for length in lengths):
                raise ValueError("a scale that was only stated has no lengths that it was measured by")
            return self
        known, known_doubt, measured, measured_doubt = lengths
        if known is None or known_doubt is None or measured is None or measured_doubt is None:
            raise ValueError("the lengths that the scale was measured by are missing")
        scale = known / measured
        doubt = scale * math.hypot(known_doubt / known, measured_doubt / measured)
        if not math.isclose(scale, self.micrometres_per_pixel, rel_tol=_EXACT):
            raise ValueError("the scale is not its known length over the measured one")
        if not math.isclose(doubt, self.uncertainty, rel_tol=1e-6, abs_tol=_EXACT * scale):
            raise ValueError("the uncertainty is not the one that its lengths give")
        return self

    @property
    def relative_uncertainty(self) -> float:
        """Standard uncertainty relative to the scale; lengths have the same, areas twice, volumes three times it."""
        return self.uncertainty / self.micrometres_per_pixel


@dataclass(frozen=True)
class Circumstances:
    """What a calibration holds for, and where it comes from; fields as of `Calibration`.

    Attributes:
        size: width and height of the picture, pixels.
    """

    objective: str
    size: tuple[int, int]
    day: str
    camera: str | None = None
    operator: str | None = None
    valid_until: str | None = None
    picture: str | None = None


def from_ruler(
    start: tuple[float, float],
    end: tuple[float, float],
    length: float,
    where: Circumstances,
    *,
    length_uncertainty: float = 0.0,
    point_uncertainty: float = POINT_UNCERTAINTY,
) -> Calibration:
    """From two points in a picture whose distance is known.

    Args:
        start: x and y, pixels.
        end: x and y, pixels.
        length: between them, micrometres.
        where: what it holds for.
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
    if not (_usable(length, length_uncertainty) and point_uncertainty >= 0):
        raise BadInput(
            "No scale can be taken from these points.",
            "The length has to be positive, uncertainties at least 0.",
            "Give the length in micrometres.",
        )
    return _made("ruler", where, (length, length_uncertainty), (distance, math.sqrt(2.0) * point_uncertainty))


def from_ruled_lines(
    lines: RuledLines, spacing: float, where: Circumstances, *, spacing_uncertainty: float = 0.0
) -> Calibration:
    """From a picture of an object micrometer, measured by `ruled_lines.find_lines`.

    Args:
        lines: what was found in the picture.
        spacing: between neighbouring lines, micrometres.
        where: what it holds for.
        spacing_uncertainty: of the micrometer, from its certificate, standard, micrometres.

    Raises:
        BadInput: values out of range.
    """
    if not _usable(spacing, spacing_uncertainty):
        raise BadInput(
            "No scale can be taken from these lines.",
            "The spacing has to be positive, its uncertainty at least 0.",
            "Give the spacing that is engraved on the micrometer, in micrometres.",
        )
    return _made("ruled-lines", where, (spacing, spacing_uncertainty), (lines.period, lines.uncertainty))


def stated(micrometres_per_pixel: float, where: Circumstances, *, uncertainty: float = 0.0) -> Calibration:
    """A scale that somebody tells, for example from the microscope's own software; 0 if its uncertainty is not known.

    Raises:
        BadInput: values out of range.
    """
    return _checked(micrometres_per_pixel, uncertainty, "stated", where, {})


def read(data: bytes) -> Calibration:
    """A calibration from foreign JSON bytes.

    Raises:
        BadInput: over `MAX_BYTES`, or a field that does not fit.
    """
    return parse_document(Calibration, data, "The calibration", max_bytes=MAX_BYTES)


def expect_size(calibration: Calibration, size: tuple[int, int], name: str = "The picture") -> None:
    """Refuses a picture of another size than the calibration's: it was scaled or cropped, or is another camera's.

    The same camera turned by a right angle has the same scale.

    Raises:
        BadInput: the size differs (width and height may change places).
    """
    if sorted(size) != sorted((calibration.width, calibration.height)):
        raise BadInput(
            f"{name} is not of the size that the calibration is for.",
            f"It has {size[0]} x {size[1]} pixels, the calibration is for {calibration.width} x {calibration.height}.",
            "Use pictures as the camera gives them, or a calibration for these ones.",
        )


def concerns(
    calibration: Calibration,
    *,
    today: dt.date,
    objective: str | None = None,
    max_age_days: int = MAX_AGE_DAYS,
) -> tuple[str, ...]:
    """What speaks against using this calibration, in sentences for people; empty if nothing does.

    Args:
        calibration: the one in use.
        today: passed in, since nothing here reads a clock.
        objective: of the picture, if it is known; letters' case and spaces do not matter.
        max_age_days: how long a calibration is trusted that does not say it itself.
    """
    told = []
    age = (today - dt.date.fromisoformat(calibration.day)).days
    if calibration.valid_until is not None:
        if today > dt.date.fromisoformat(calibration.valid_until):
            told.append(f"The calibration was valid until {calibration.valid_until}; it has to be renewed.")
    elif age > max_age_days:
        told.append(f"The calibration is {age} days old; it should be renewed every {max_age_days} days.")
    if age < -1:  # a day is what clocks of two time zones may differ by
        told.append("The calibration is dated in the future.")
    if objective is not None and _plain(objective) != _plain(calibration.objective):
        told.append("The calibration is for another objective.")
    if calibration.uncertainty == 0.0:
        told.append("It is not known how exact the calibration is.")
    return tuple(told)


def described(calibration: Calibration) -> str:
    """The scale in one line for people: value, standard uncertainty, how it was obtained, objective, camera, day."""
    ways = {
        "ruler": "two points at a known distance",
        "ruled-lines": "a picture of ruled lines",
        "stated": "stated",
    }
    doubt = (
        f"standard uncertainty {calibration.uncertainty:.2g} ({calibration.relative_uncertainty:.2%})"
        if calibration.uncertainty
        else "uncertainty not known"
    )
    parts = [f"{calibration.micrometres_per_pixel:.6g} µm per pixel", doubt, ways[calibration.method]]
    parts.append(f"objective {calibration.objective}")
    if calibration.camera is not None:
        parts.append(f"camera {calibration.camera}")
    parts.append(f"{calibration.width} x {calibration.height} pixels, made {calibration.day}")
    return "; ".join(parts)


def _made(
    method: Method, where: Circumstances, known: tuple[float, float], measured: tuple[float, float]
) -> Calibration:
    scale = known[0] / measured[0]
    relative = math.hypot(known[1] / known[0], measured[1] / measured[0])
    lengths = {
        "known": known[0],
        "known_uncertainty": known[1],
        "measured": measured[0],
        "measured_uncertainty": measured[1],
    }
    return _checked(scale, scale * relative, method, where, lengths)


def _checked(
    scale: float, uncertainty: float, method: Method, where: Circumstances, lengths: dict[str, float]
) -> Calibration:
    try:
        return Calibration.model_validate(
            {
                "micrometres_per_pixel": float(scale),
                "uncertainty": float(uncertainty),
                "method": method,
                "objective": where.objective,
                "width": where.size[0],
                "height": where.size[1],
                "day": where.day,
                "camera": where.camera,
                "operator": where.operator,
                "valid_until": where.valid_until,
                "picture": where.picture,
                **{name: float(value) for name, value in lengths.items()},
            }
        )
    except ValidationError as error:
        raise invalid(error, "The calibration") from None


def _usable(length: float, uncertainty: float) -> bool:
    return math.isfinite(length) and length > 0 and math.isfinite(uncertainty) and uncertainty >= 0


def _plain(objective: str) -> str:
    return "".join(objective.split()).casefold()
