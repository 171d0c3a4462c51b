"""What people fill in about a picture of a scale, as a calibration."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from cloister.foundation.errors import BadInput
from cloister.node.toolroom.scales import Draft
from cloister.sizing.calibration import (
    POINT_UNCERTAINTY,
    Calibration,
    Circumstances,
    from_ruled_lines,
    from_ruler,
)
from cloister.tools.serving import RULER_SIDE
from cloister.web.views import typed

PLACES = ("x1", "y1", "x2", "y2")


def measured(draft: Draft, fields: Mapping[str, str], today: dt.date) -> Calibration:
    """The calibration that a filled-in form makes of a picture.

    Args:
        draft: the picture.
        fields: `way` (`lines` or `points`), `spacing` or `length` and `x1`, `y1`, `x2`, `y2`, `uncertainty`, `objective`,
            `camera`, `operator`, `valid_until`.
        today: when it is made.

    Raises:
        BadInput: a field is missing or cannot be used.
    """
    where = Circumstances(
        objective=_line(fields, "objective") or _missing("The objective", "10x / 0.25"),
        size=draft.size,
        day=today.isoformat(),
        camera=_line(fields, "camera"),
        operator=_line(fields, "operator"),
        valid_until=_day(fields.get("valid_until", "")),
        picture=draft.digest,
    )
    doubt = fields.get("uncertainty", "")
    uncertainty = typed.number(doubt, "The uncertainty", least=0.0, example="0.05") if doubt.strip() else 0.0
    if fields.get("way") != "points":
        if draft.lines is None:
            raise BadInput(
                "No lines were found in this picture.", draft.why, "Mark two points of a known distance."
            )
        spacing = _distance(fields, "spacing", "The spacing", "10")
        return from_ruled_lines(draft.lines, spacing, where, spacing_uncertainty=uncertainty)
    width, height = draft.size
    x1, y1, x2, y2 = (
        typed.number(fields.get(name, ""), "A point", least=0.0, most=float(most), example="120.5")
        for name, most in zip(PLACES, (width, height, width, height), strict=True)
    )
    length = _distance(fields, "length", "The length", "1000")
    return from_ruler(
        (x1, y1),
        (x2, y2),
        length,
        where,
        length_uncertainty=uncertainty,
        # What is shown may be smaller than the picture; then nobody sets a point more exactly than a pixel of what is shown.
        point_uncertainty=POINT_UNCERTAINTY * max(1.0, max(draft.size) / RULER_SIDE),
    )


def guide(draft: Draft) -> list[float]:
    """Two points far apart in the middle of the picture, across its lines where some were found, to begin from; pixels."""
    width, height = draft.size
    angle = 0.0 if draft.lines is None else math.radians(draft.lines.angle)
    half = 0.35 * min(width, height)
    across, down = half * math.cos(angle), half * math.sin(angle)
    ends = (width / 2 - across, height / 2 - down, width / 2 + across, height / 2 + down)
    return [round(value, 1) for value in ends]


def _distance(fields: Mapping[str, str], name: str, what: str, example: str) -> float:
    text = fields.get(name, "")
    if not text.strip():
        raise BadInput(
            f"{what} is missing.", "It is in micrometres, as the scale has it.", f"For example {example}"
        )
    return typed.number(text, what, above=0.0, example=example)


def _line(fields: Mapping[str, str], name: str) -> str | None:
    return fields.get(name, "").strip()[:200] or None


def _day(text: str) -> str | None:
    return typed.day(text, "The last day").isoformat() if text.strip() else None


def _missing(what: str, example: str) -> str:
    raise BadInput(
        f"{what} is missing.", "Without it nobody knows what the scale is for.", f"For example {example}"
    )
